{{/*
Pieces of the guard rails. Expressions are CEL; they name our containers (rasp-init, rasp-proxy), our user and group id
62102 and our ports 16140, 16143 and 16191 as rasp_policy::pod does, whose constants the end-to-end tests try.
*/}}

{{/* Warn and Deny audit as well: the audit log then says what would be, or was, refused. */}}
{{- define "kube-rasp.guard.actions" -}}
{{- if eq . "Audit" }}[Audit]{{ else }}[{{ . }}, Audit]{{ end }}
{{- end }}

{{- define "kube-rasp.guard.conditions" -}}
- name: not-a-system-namespace
  expression: "!request.namespace.startsWith('kube-')"
{{- end }}

{{- define "kube-rasp.guard.anyNamespace" -}}
namespaceSelector:
  matchExpressions:
    {{- include "kube-rasp.excludedNamespaces" . | nindent 4 }}
{{- end }}

{{- define "kube-rasp.guard.protectedNamespaces" -}}
namespaceSelector:
  matchExpressions:
    - key: rasp.dev/inject
      operator: In
      values: [enabled, enforced]
    {{- include "kube-rasp.excludedNamespaces" . | nindent 4 }}
{{- end }}

{{- define "kube-rasp.guard.optedInPods" -}}
namespaceSelector:
  matchExpressions:
    - key: rasp.dev/inject
      operator: NotIn
      values: [enabled, enforced, disabled]
    {{- include "kube-rasp.excludedNamespaces" . | nindent 4 }}
objectSelector:
  matchLabels:
    rasp.dev/inject: "true"
{{- end }}

{{/* Which containers take what is ours: `variables.others` are the containers that are judged. */}}
{{- define "kube-rasp.guard.containerVariables" -}}
- name: withOurId
  expression: >-
    variables.others.filter(c, c.?securityContext.?runAsUser.orValue(0) == 62102 ||
    c.?securityContext.?runAsGroup.orValue(0) == 62102).map(c, c.name)
- name: withPower
  expression: >-
    variables.others.filter(c, c.?securityContext.?privileged.orValue(false) ||
    c.?securityContext.?capabilities.?add.orValue([]).exists(a, a.upperAscii().replace('CAP_', '') in
    ['NET_ADMIN', 'SYS_ADMIN', 'ALL'])).map(c, c.name)
{{- end }}

{{/* Called with (dict "skip" CEL "bare" CEL "where" TEXT): the first two are expressions with `||` behind them, or nothing. */}}
{{- define "kube-rasp.guard.containerValidations" -}}
- expression: "{{ .skip }}variables.withOurId.size() == 0"
  reason: Forbidden
  message: "securityContext: user and group id 62102 belong to the sidecar of kube-rasp: use another one"
  messageExpression: >-
    '{{ .where }}container ' + variables.withOurId[0] + ': securityContext.runAsUser or runAsGroup is 62102, which belongs to
    the sidecar of kube-rasp: use another id'
- expression: "{{ .skip }}{{ .bare }}variables.withPower.size() == 0"
  reason: Forbidden
  message: "securityContext: a container of a protected pod must not be able to remove its packet rules"
  messageExpression: >-
    '{{ .where }}container ' + variables.withPower[0] + ': securityContext.privileged or capabilities.add (NET_ADMIN, SYS_ADMIN, ALL)
    lets it remove the packet rules of kube-rasp: leave it out, or run it in a pod that is not protected'
{{- end }}

{{/* Variables and validations of a pod, or of the template of one: (dict "path" PREFIX), "" or for example "spec.template.". */}}
{{- define "kube-rasp.guard.pod" -}}
{{- $pod := printf "object.%s" .path }}
{{- $where := eq .path "" | ternary "" (printf "%s: " (trimSuffix "." .path)) }}
{{- $injected := printf "%sspec.?initContainers.orValue([]).exists(c, c.name == 'rasp-proxy')" $pod }}
{{- $labels := eq .path "" | ternary "object.metadata.?labels" (printf "object.%s?metadata.?labels" .path) -}}
variables:
  - name: optOut
    expression: "{{ $labels }}[?'rasp.dev/inject'].orValue('') == 'false'"
  - name: enforced
    expression: "namespaceObject.metadata.?labels[?'rasp.dev/inject'].orValue('') == 'enforced'"
  # An opt-out counts where the namespace does not insist: such a pod is not ours to judge.
  - name: unprotected
    expression: "variables.optOut && !variables.enforced"
  # Packet rules are set where the sidecar was added. A template does not have it yet.
  - name: bare
    expression: "{{ eq .path "" | ternary (printf "!%s" $injected) (printf "%sspec.?hostNetwork.orValue(false)" $pod) }}"
  # Ours are init containers. A container with our name and other contents is refused by the webhook.
  - name: others
    expression: >-
      {{ $pod }}spec.containers + {{ $pod }}spec.?initContainers.orValue([]).filter(c, !(c.name in ['rasp-init', 'rasp-proxy']))
  - name: ourIds
    expression: >-
      ({{ $pod }}spec.?securityContext.?runAsUser.orValue(0) == 62102 ? ['runAsUser'] : []) +
      ({{ $pod }}spec.?securityContext.?runAsGroup.orValue(0) == 62102 ? ['runAsGroup'] : []) +
      ({{ $pod }}spec.?securityContext.?fsGroup.orValue(0) == 62102 ? ['fsGroup'] : []) +
      (62102 in {{ $pod }}spec.?securityContext.?supplementalGroups.orValue([]) ? ['supplementalGroups'] : [])
  - name: withOurPort
    expression: >-
      variables.others.filter(c, c.?ports.orValue([]).exists(p, p.containerPort in [16140, 16143, 16191])).map(c, c.name)
  {{- if .path }}
  # Of a pod the webhook says it itself, to whoever makes the pod: a controller, which keeps it to itself.
  - name: unknownAnnotations
    expression: >-
      {{ $pod }}?metadata.?annotations.orValue({}).filter(k, k.startsWith('config.rasp.dev/') && !(k in [
      {{- include "kube-rasp.guard.annotations" . | nindent 6 }}
      ]))
  {{- end }}
  {{- include "kube-rasp.guard.containerVariables" . | nindent 2 }}
validations:
  - expression: "variables.unprotected || variables.ourIds.size() == 0"
    reason: Forbidden
    message: "spec.securityContext: user and group id 62102 belong to the sidecar of kube-rasp: use another one"
    messageExpression: >-
      '{{ .path }}spec.securityContext.' + variables.ourIds[0] + ' is 62102, which belongs to the sidecar of kube-rasp: use another id'
  {{- include "kube-rasp.guard.containerValidations" (dict "skip" "variables.unprotected || " "bare" "variables.bare || " "where" $where) | nindent 2 }}
  - expression: "variables.unprotected || variables.withOurPort.size() == 0"
    reason: Forbidden
    message: "ports 16140, 16143 and 16191 belong to the sidecar of kube-rasp: use others"
    messageExpression: >-
      '{{ $where }}container ' + variables.withOurPort[0] + ': ports 16140, 16143 and 16191 belong to the sidecar of kube-rasp: use others'
  - expression: "!(variables.optOut && variables.enforced)"
    reason: Forbidden
    message: "{{ .path }}metadata.labels['rasp.dev/inject'] is 'false', and the namespace is enforced: remove the label, or let the pod run in another namespace"
  {{- if .path }}
  - expression: "variables.unprotected || variables.unknownAnnotations.size() == 0"
    reason: Forbidden
    message: "{{ .path }}metadata.annotations: kube-rasp knows no annotation of this name, and new pods will have no sidecar"
    messageExpression: >-
      '{{ .path }}metadata.annotations: kube-rasp knows no ' + variables.unknownAnnotations[0] + ': new pods will ' +
      (variables.enforced ? 'be refused' : 'run WITHOUT a sidecar') + ' until it is put right'
  {{- end }}
{{- end }}

{{/* The annotations of a pod, as rasp_policy::pod has them; a test of the operator compares. */}}
{{- define "kube-rasp.guard.annotations" -}}
'config.rasp.dev/interception',
'config.rasp.dev/limits',
'config.rasp.dev/log-level',
'config.rasp.dev/opaque-ports',
'config.rasp.dev/port-protocols',
'config.rasp.dev/proxy-cpu-limit',
'config.rasp.dev/proxy-cpu-request',
'config.rasp.dev/proxy-image',
'config.rasp.dev/proxy-memory-limit',
'config.rasp.dev/proxy-memory-request',
'config.rasp.dev/proxy-protocol-from',
'config.rasp.dev/skip-inbound-ports',
'config.rasp.dev/tls',
'config.rasp.dev/trusted-proxies'
{{- end }}

{{/* Labels that select the operator's pods. Immutable: they are part of the Deployment's selector. */}}
{{- define "kube-rasp.selectorLabels" -}}
app.kubernetes.io/name: kube-rasp
app.kubernetes.io/component: operator
{{- end }}

{{/* Labels of every object. */}}
{{- define "kube-rasp.labels" -}}
app.kubernetes.io/name: kube-rasp
app.kubernetes.io/part-of: kube-rasp
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name (.Chart.Version | replace "+" "_") }}
{{- end }}

{{/* Reference of an image: repository, tag, digest. Called with (list image chart). */}}
{{- define "kube-rasp.image" -}}
{{- $image := index . 0 }}
{{- $chart := index . 1 }}
{{- printf "%s:%s" $image.repository ($image.tag | default $chart.AppVersion) }}
{{- if $image.digest }}{{ printf "@%s" $image.digest }}{{ end }}
{{- end }}

{{/*
What all three webhooks share. The namespaces of the system and of the operator are excluded by name: a label can be
forgotten, and an operator that has to admit its own pods never starts. No caBundle: the operator writes it, and an
upgrade leaves alone what the chart never set.
*/}}
{{- define "kube-rasp.excludedNamespaces" -}}
- key: kubernetes.io/metadata.name
  operator: NotIn
  values:
    - kube-system
    - kube-public
    - kube-node-lease
    - {{ .Release.Namespace }}
    {{- range .Values.webhook.excludedNamespaces }}
    - {{ . }}
    {{- end }}
{{- end }}

{{- define "kube-rasp.webhookCommon" -}}
admissionReviewVersions: [v1]
sideEffects: NoneOnDryRun
matchPolicy: Equivalent
reinvocationPolicy: IfNeeded
timeoutSeconds: 5
rules:
  - apiGroups: [""]
    apiVersions: [v1]
    operations: [CREATE]
    resources: [pods]
    scope: Namespaced
matchConditions:
  # The operator leaves kube-* alone as well; it need not be asked.
  - name: not-a-system-namespace
    expression: "!request.namespace.startsWith('kube-')"
  # The mirror of a static pod: kubelet runs the file on the node, not what is admitted here.
  - name: not-a-mirror-pod
    expression: "!has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)"
{{- end }}

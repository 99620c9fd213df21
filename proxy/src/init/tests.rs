use super::*;

fn mk_batch_error(step: &str, errno: Errno) -> Attempt {
    let tables = ruleset::build(&[].into(), Form::Listeners);
    let batch = Batch::build(&tables);
    let at = batch.steps.iter().position(|s| s.to_string().starts_with(step)).unwrap();
    refused(&batch, &kernel::Error::Refused { sequence: u32::try_from(at).unwrap(), errno })
}

const REDIRECT_RULE: &str = "create rule \"redirect to the sidecar\"";

#[test]
fn falls_back_to_the_plain_form_only_where_the_socket_match_is_what_lacks() {
    for errno in [Errno::NOENT, Errno::OPNOTSUPP] {
        assert!(matches!(mk_batch_error(REDIRECT_RULE, errno), Attempt::NoSocketMatch(_)), "{errno}");
        for step in ["create table rasp-guard", "create chain prerouting", "create rule \"leave port 16143\""]
        {
            assert!(matches!(mk_batch_error(step, errno), Attempt::Failed(_)), "{step} {errno}");
        }
    }
    for errno in [Errno::PERM, Errno::INVAL, Errno::NOMEM] {
        assert!(matches!(mk_batch_error(REDIRECT_RULE, errno), Attempt::Failed(_)), "{errno}");
    }
}

#[test]
fn the_outcome_says_which_form_is_in_force() {
    let mut tried = Vec::new();
    let outcome = strongest(|form| {
        tried.push(form);
        match form {
            Form::Listeners => Err(mk_batch_error(REDIRECT_RULE, Errno::NOENT)),
            Form::Plain => Ok(Outcome { form }),
        }
    });
    assert_eq!(outcome.unwrap(), Outcome { form: Form::Plain });
    assert_eq!(tried, [Form::Listeners, Form::Plain]);

    let outcome = strongest(|form| match form {
        Form::Listeners => Err(mk_batch_error("create table rasp-guard", Errno::NOENT)),
        Form::Plain => Ok(Outcome { form }),
    });
    assert_eq!(outcome.unwrap_err().id(), "program");
}

#[test]
fn an_error_names_the_step_and_what_to_do() {
    let cases = [
        (
            "run the batch",
            Errno::PERM,
            "cannot run the batch of nftables: run as UID 0 with the NET_ADMIN capability, which rasp-init adds in its securityContext",
        ),
        (
            "create table rasp-redirect",
            Errno::OPNOTSUPP,
            "cannot create table rasp-redirect: load these kernel modules on the node, or exclude it: nf_tables",
        ),
        (
            "create chain prerouting",
            Errno::NOENT,
            "cannot create chain prerouting of table rasp-redirect: load these kernel modules on the node, or exclude it: nft_chain_nat",
        ),
        (
            "create rule \"reject",
            Errno::NOENT,
            "cannot create rule \"reject not redirected\" of table rasp-guard: load these kernel modules on the node, or exclude it: nft_ct, nft_reject_inet",
        ),
    ];
    for (step, errno, expected) in cases {
        let error = mk_batch_error(step, errno).into_error();
        assert_eq!(error.to_string(), expected);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(source, io::Error::from(errno).to_string());
    }
}

#[test]
fn refuses_the_network_of_the_node_before_it_touches_anything() {
    let address = "192.0.2.7".parse().unwrap();
    let config = Config { skip_ports: [].into(), pod_ips: vec![address], host_ips: vec![address] };
    let error = run(&config).unwrap_err();
    assert!(matches!(error, Error::HostNetwork { address: found } if found == address));
}

//! Errors of the Kubernetes client as one line for people: what the API server said, without the debug form of its
//! answer. Used in logs and in the message of Degraded.

/// One line.
pub fn text(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} ({})", status.message, status.code),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::Api;

    use super::text;
    use crate::testing::{api, refusal};

    #[tokio::test]
    async fn an_answer_of_the_api_server_is_one_line() {
        let (client, _) = api(|_| refusal(403, "secrets is forbidden"));
        let secrets: Api<k8s_openapi::api::core::v1::Secret> = Api::namespaced(client, "a");
        let error = secrets.get("b").await.unwrap_err();
        assert_eq!(text(&error), "secrets is forbidden (403)");
    }
}

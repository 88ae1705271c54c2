use crate::script::recording::deploy;

#[test]
fn a_deploy_is_one_call_a_host() {
    let calls = deploy(
        r#"let next = start(web, img, fleet);
        healthcheck(next);
        set_weights([[(), 0], [next, 100]]);
        drain(next.on(fleet[0]));
        stop(next.on([fleet[1]]));"#,
    )
    .calls();
    assert_eq!(
        calls,
        [
            "1[0] 10.0.0.1 start 2 × web v2",
            "1[1] 10.0.0.2 start 2 × web v2",
            "2[0] 10.0.0.1 healthcheck shop-web-v2-c6f3397aef-1 and 1 more, at most 30s",
            "2[1] 10.0.0.2 healthcheck shop-web-v2-d6d00e9e48-1 and 1 more, at most 30s",
            "3[0] 10.0.0.1 test_weights web (10.0.0.1: v2 100%)",
            "3[1] 10.0.0.2 test_weights web (10.0.0.2: v2 100%)",
            "4[0] 10.0.0.1 set_weights web (10.0.0.1: v2 100%)",
            "4[1] 10.0.0.2 set_weights web (10.0.0.2: v2 100%)",
            "5 10.0.0.1 drain shop-web-v2-c6f3397aef-1 and 1 more, at most 30s",
            "6 10.0.0.2 stop shop-web-v2-d6d00e9e48-1 and 1 more",
        ]
    );
}

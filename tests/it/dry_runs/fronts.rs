//! What clients reach services by at a proxy: what is in the way there is planned as it goes.

use std::process::Command;

use super::Rehearsal;
use crate::rig::output;

#[test]
fn fronts_that_are_not_free_are_planned_to_be_refused() {
    let plan = Rehearsal::two_hosts();
    let started = |service: &str, port: &str| {
        format!(
            "let {service} = service(\"{service}\", #{{ port: 8000, {port} image: \"shop-web\", replicas: 1, health: http(\"/health\") }});\n\
             let new_{service} = start({service}, built({service}, \"v1\", h1), h1);\nhealthcheck(new_{service});\n"
        )
    };
    // Two services that want the same front, before either is served, and one that is given the front of another later.
    let both = format!("{}{}", started("api", ""), started("shop", ""));
    let served = "set_weights([[new_api, 100]]);\nset_weights([[new_shop, 100]]);";
    plan.fails(&format!("{both}{served}"), &[], 4, "that is the service api of this project already");
    let previewed = "set_weights([[new_api, 100]]);\npreview(new_shop, #{ header: \"X-Preview: shop\" });";
    plan.fails(&format!("{both}{previewed}"), &[], 4, "that is the service api of this project already");
    plan.succeeds(&format!("{}{}{served}", started("api", ""), started("shop", "listen: 8081,")), &[]);
    let moved = "let shop = service(\"shop\", #{ port: 8000, image: \"shop-web\", replicas: 1, health: http(\"/health\") });\n";
    plan.fails(&format!("{moved}set_weights([[releases(shop, h1)[0], 100]]);"), &[], 3, "that is the service api of this project already");
    // What nginx still listens on by a file that is gone is its own. A container that has the port may end before it is needed.
    plan.rig.exec(1, &["sh", "-c", "echo 'server { listen 8082; }' >/etc/nginx/conf.d/gone.conf && nginx -s reload"]).text();
    plan.rig.exec(1, &["rm", "/etc/nginx/conf.d/gone.conf"]).text();
    let late = started("late", "listen: 8082,");
    plan.succeeds(&format!("{late}set_weights([[new_late, 100]]);"), &[]);
    let edge = "let edge = service(\"edge\", #{ port: 8000, publish: 8087, balancer: \"none\", image: \"shop-web\", health: http(\"/health\") });\n";
    plan.succeeds(&format!("{edge}start(edge, built(edge, \"v1\", h1), h1);"), &[]);
    let (moved, weights) = (started("moved", "listen: 8087,"), "set_weights([[new_moved, 100]]);");
    plan.fails(&format!("{moved}{weights}"), &[], 4, "cannot listen on port 8087 for moved: the container shop-edge-");
    plan.succeeds(&format!("{edge}{moved}stop(running(edge, h1), #{{ allow_downtime: true }});\n{weights}"), &[]);
    // A file of another's, until a command takes it away.
    plan.rig.exec(1, &["sh", "-c", "echo 'server { listen 8083; }' >/etc/nginx/conf.d/other.conf && nginx -s reload"]).text();
    let last = started("last", "listen: 8083,");
    plan.fails(&last, &[], 3, "that is /etc/nginx/conf.d/other.conf already");
    plan.succeeds(
        &format!("hook(h1, \"rm /etc/nginx/conf.d/other.conf && nginx -s reload\");\n{last}set_weights([[new_last, 100]]);"),
        &[],
    );
    // A port that the proxy has left, in the same run; one that it has by then; and one that a container has by then.
    let left = "let late = service(\"late\", #{ port: 8000, listen: 8084, image: \"shop-web\", replicas: 1, health: http(\"/health\") });\n\
                set_weights([[releases(late, h1)[0], 100]]);\n";
    plan.succeeds(&format!("{left}{}set_weights([[new_next, 100]]);", started("next", "listen: 8082,")), &[]);
    let publishing = |port: u16| {
        format!(
            "let other = service(\"other\", #{{ port: 8000, publish: {port}, balancer: \"none\", image: \"shop-web\", health: http(\"/health\") }});\n\
             start(other, built(other, \"v1\", h1), h1);\n"
        )
    };
    let (own, weights) = (started("own", "listen: 8085,"), "set_weights([[new_own, 100]]);\n");
    plan.fails(&format!("{own}{weights}{}", publishing(8085)), &[], 4, "port 8085, which other publishes, is taken on h1");
    let (own, weights) = (own.replace("8085", "8086").replace("own", "mine"), weights.replace("own", "mine"));
    plan.fails(&format!("{own}{}{weights}", publishing(8086)), &[], 4, "cannot listen on port 8086 for mine: the container shop-other-");
    // The same of a dependency.
    let cache = "let cache = service(\"cache\", #{ port: 8000, publish: 8088, balancer: \"none\", health: http(\"/health\") });\n\
                 dependency(cache, image(\"shop-web:v1\"), h1);\n";
    let (own, weights) = (started("beside", "listen: 8088,"), "set_weights([[new_beside, 100]]);");
    plan.fails(&format!("{own}{cache}{weights}"), &[], 4, "cannot listen on port 8088 for beside: the container shop-cache-");
    // A port of the proxy's among those that containers are given.
    let high = started("high", "listen: 20000,").replace("h1", "h2");
    plan.succeeds(&format!("{high}set_weights([[new_high, 100]]);"), &[]);
}

#[test]
fn a_first_deploy_that_is_undone_leaves_its_front_free() {
    let plan = Rehearsal::two_hosts();
    let served = |service: &str, front: &str, preview: &str| {
        format!(
            "let {service} = service(\"{service}\", #{{ port: 8000, {front} image: \"shop-web\", replicas: 1, health: http(\"/health\") }});\n\
             let next = start({service}, built({service}, \"v1\", fleet), fleet);\nhealthcheck(next);\n{preview}set_weights([[next, 100]]);\n"
        )
    };
    let files = |service: &str| {
        let list = format!("ls /etc/nginx/conf.d/podlift-shop.{service}* 2>/dev/null | wc -l");
        plan.rig.exec(1, &["sh", "-c", &list]).text().trim().to_owned()
    };
    let url = format!("http://{}/version", plan.rig.host(1).address);
    let answers = || output(Command::new("curl").args(["-sS", "--max-time", "20", &url]), "").stdout.trim().to_owned();
    let before = answers();
    // By weights alone, and behind a preview, by one proxy of each host's own.
    for preview in ["", "preview(next, #{ header: \"X-Preview: new\" });\n"] {
        plan.fails(&format!("{}throw \"not this one\";", served("api", "", preview)), &[], 4, "not this one");
        assert_eq!((files("api").as_str(), answers()), ("0", before.clone()), "{preview}");
    }
    plan.succeeds(&served("shop", "", ""), &[]);
    assert_eq!((files("shop").as_str(), answers().as_str()), ("1", "v1"));
    // What a deploy had traffic from before keeps its file.
    let other = "let shop = service(\"shop\", #{ port: 8000, image: \"shop-web\", replicas: 1, health: http(\"/health\") });\n\
                 set_weights([[releases(shop, fleet)[0], 100]], #{ sticky: \"seen\" });\nthrow \"not this one\";";
    plan.fails(other, &[], 4, "not this one");
    assert_eq!((files("shop").as_str(), answers().as_str()), ("2", "v1"), "and the one before it");
    // A server block of the user's that includes the file by its name would not be accepted without it: it stays, and says nothing.
    let mine = "hook(h1, `f=$(ls /etc/nginx/conf.d/podlift-shop.own*.locations) && echo \"server { listen 8090; include $f; }\" \
                >/etc/nginx/sites-enabled/mine && nginx -s reload`);\nthrow \"not this one\";";
    plan.project.write("script.rhai", &format!("{}{}{mine}", super::PRELUDE, served("own", "server: false,", "")));
    let run = plan.project.events(&["run", "script.rhai"]);
    assert_eq!(run.output.code, 4, "{}", run.output.stderr);
    let there = plan.rig.exec(1, &["sh", "-c", "cat /etc/nginx/conf.d/podlift-shop.own*.locations"]).text().to_owned();
    assert!(there.contains("return 503") && plan.rig.exec(1, &["nginx", "-t"]).code == 0, "{there}");
}

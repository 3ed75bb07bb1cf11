//! Who listens on the way hears no token.

use super::*;
use std::io::{Read, Write};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

/// Somebody on the way, under an address that is not this machine's by its looks; what they hear.
fn eavesdrop() -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://[::ffff:127.0.0.1]:{}", listener.local_addr().unwrap().port());
    let (sender, heard) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or_default();
            let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = sender.send(String::from_utf8_lossy(&head[..length]).into_owned());
        }
    });
    (url, heard)
}

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn a_token_is_sent_in_the_clear_to_nobody_who_was_not_named_in_so_many_words() {
    let mut review = Review::new("clear", &json!({}));
    let team = review.team("clear");
    commit(&review.writer_token, &infrastructure(&review), "clear", "clear", &module(&team));
    open(&review, &review.writer_token, "clear", "clear");
    let (url, heard) = eavesdrop();
    let has_heard = |text: &str| heard.try_iter().any(|head| head.contains(text));

    // Terraform's provider takes the address, and the token, from the environment.
    review.environment = vec![("GITEA_BASE_URL", url.clone())];
    let (said, well) = review.run(&["plan"]);
    assert!(!has_heard("uthorization: "), "the provider sends its token");
    assert!(
        !well && said.contains("the environment variable GITEA_BASE_URL would have secrets sent in the clear"),
        "{said}"
    );

    // Goldpath itself, from the configuration.
    let folder = review.folder.path();
    fs::write(folder.join("a.yaml"), crate::support::gitea::team(&team.0)).unwrap();
    fs::write(folder.join("planted"), "s3cret-t0ken").unwrap();
    let deliver = |more: &str| {
        let config = format!(
            "gitea: {{url: '{url}', tokenFile: planted{more}}}\nretries: 0\nrepositories: {{catalog: {{owner: o, name: c}}}}\n"
        );
        fs::write(folder.join("platform.yaml"), config).unwrap();
        crate::support::transcript(&crate::support::gitea::goldpath(folder, &["-f", "a.yaml"]).output().unwrap())
    };
    let said = deliver("");
    assert!(said.contains("would send the token in the clear") && !has_heard(""), "{said}");

    // So many words, and the listener hears it: what was shown above was not for want of a way.
    deliver(", insecure: true");
    assert!(has_heard("s3cret-t0ken"));
}

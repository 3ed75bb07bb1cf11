//! A comment that was edited and put back was edited.

use super::*;
use std::thread::sleep;
use std::time::Duration;

#[test]
#[ignore = "needs a Gitea: scripts/run-integration-tests.sh"]
fn an_approval_of_a_comment_that_was_edited_and_put_back_does_not_count() {
    let review = Review::new("restored", &json!({}));
    let [bait, again, still] = ["bait", "again", "still"].map(|name| review.team(&format!("restored-{name}")));
    let propose = |team: &Managed| {
        commit(&review.writer_token, &infrastructure(&review), &team.0, "x", &module(team));
        open(&review, &review.writer_token, &team.0, "x")
    };
    let numbers = [&bait, &again, &still].map(propose);
    review.run_well(&["plan"]);
    // Gitea's times have seconds.
    let bait_and_restore = |number: u64| {
        let comment = review.comments(number)[0].clone();
        let (path, body) =
            (review.path(&format!("/issues/comments/{}", comment["id"])), comment["body"].as_str().unwrap());
        for text in [&body.replace("+1 ~0 -0", "+0 ~0 -0"), body] {
            sleep(Duration::from_millis(1100));
            assert_eq!(ask(&review.writer_token, "PATCH", &path, &json!({"body": text})).0, 200);
        }
        let restored = review.comments(number)[0].clone();
        assert_eq!(restored["body"], comment["body"]);
    };
    for number in &numbers[..2] {
        bait_and_restore(*number);
    }
    for number in numbers {
        review.approve(&review.reviewer, number);
    }
    // Recorded anew: what was approved before that may have been the bait.
    review.run_well(&["plan", "--pull", &numbers[1].to_string()]);
    for number in numbers {
        review.merge(number);
    }
    let said = review.run_in_vain(&["apply"]);
    let [of_bait, of_again, _] = numbers;
    let put_back =
        format!("failure: refused: somebody has edited the comment with the plan of #{of_bait}, and put it back");
    assert_eq!(review.applied(of_bait, &bait), put_back, "{said}");
    let before = format!("failure: refused: #{of_again} was approved before its plan was recorded");
    assert_eq!(review.applied(of_again, &again), before, "{said}");
    assert_eq!(review.applied(numbers[2], &still), "success: +1 ~0 -0", "{said}");
    assert!(bait.get().is_none() && again.get().is_none() && still.get().is_some());

    // What is asked for again is a plan of its own.
    for number in review.open() {
        review.approve(&review.reviewer, number);
        review.merge(number);
    }
    review.run_well(&["apply"]);
    assert!(bait.get().is_some() && again.get().is_some());
}

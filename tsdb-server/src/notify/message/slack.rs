//! Messages to Slack's incoming webhooks: one attachment, red while something fires and green when all is over.

use super::{Message, Style};
use crate::rules::Template;
use serde_json::json;

/// Tells by one message for each group.
#[derive(Debug)]
pub(in crate::notify) struct Slack {
    pub(in crate::notify) channel: String,
    pub(in crate::notify) title: Option<Template>,
    pub(in crate::notify) text: Option<Template>,
}

/// The longest title and text, in characters: Slack cuts off what is longer.
const LONGEST_TITLE: usize = 1_024;
const LONGEST_TEXT: usize = 7_000;

impl Style for Slack {
    fn bodies(&self, message: &Message<'_>) -> Vec<Vec<u8>> {
        let title = self.title.as_ref().map_or_else(|| escape(&message.headline()), |t| message.expand(t));
        let text = self.text.as_ref().map_or_else(|| escape(&message.lines()), |t| message.expand(t));
        let mut body = json!({"attachments": [{
            "color": if message.firing() > 0 { "danger" } else { "good" },
            "title": cut(&title, LONGEST_TITLE),
            "title_link": message.external_url,
            "text": cut(&text, LONGEST_TEXT),
            "fallback": cut(&title, LONGEST_TITLE),
            "mrkdwn_in": ["text"],
        }]});
        if !self.channel.is_empty() {
            body["channel"] = json!(self.channel);
        }
        vec![body.to_string().into_bytes()]
    }
}

/// Slack's three special characters as what they are.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
}

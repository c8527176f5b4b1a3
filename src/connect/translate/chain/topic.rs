//! Topic routers. A name that is the same for all records is worked out here.

use super::{Route, Walk};
use crate::connect::translate::source::is_topic_name;
use headwater_operators::transform::java::route_topic;
use regex::Regex;

impl Walk<'_, '_> {
    pub(super) fn regex_router(&mut self) {
        let regex = self.reader.known(&self.key("regex"));
        let replacement = self.reader.known(&self.key("replacement"));
        let (Some(regex), Some(replacement)) = (regex, replacement) else { return };
        if !self.is_topic_known || self.chain.route.is_some() {
            let told = "the topic's name is not known where the file is written";
            return self.refuse("regex", told, "write the new name as kafka.topic");
        }
        match route_topic(&self.chain.topic, &regex, &replacement) {
            Ok(topic) => self.renamed("replacement", topic),
            Err(why) => {
                let why = told(&why.to_string());
                self.refuse("regex", why, "write the new name as kafka.topic");
            }
        }
    }

    /// Takes a name that was worked out, if a topic can have it.
    fn renamed(&mut self, key: &str, topic: String) {
        if !self.is_topic_known || is_topic_name(&topic) {
            self.chain.topic = topic;
        } else {
            let told = format!("makes {topic:?} of the topic's name, which no topic can have");
            self.refuse(key, told, "write the new name as kafka.topic");
        }
    }

    pub(super) fn timestamp_router(&mut self) {
        let (topic_key, format_key) = (self.key("topic.format"), self.key("timestamp.format"));
        let format = self.reader.known(&topic_key);
        let timestamp = self.reader.known(&format_key);
        if self.chain.route.is_some() {
            return self.refuse(
                "type",
                "the topic has a timestamp already",
                "leave one router out",
            );
        }
        let format = format.unwrap_or_else(|| "${topic}-${timestamp}".to_owned());
        let name = format.replace("${topic}", "{topic}").replace("${timestamp}", "{timestamp}");
        if !name.contains("{timestamp}") {
            // The name is the same for all records.
            let topic = name.replace("{topic}", &self.chain.topic);
            return self.renamed("topic.format", topic);
        }
        let timestamp_format = timestamp.unwrap_or_else(|| "yyyyMMdd".to_owned());
        self.chain.route = Some(Route { name, timestamp_format });
    }
}

/// A regular expression that a whole name must match.
pub(in crate::connect::translate) fn whole(pattern: &str) -> Result<Regex, String> {
    // A pattern that is none by itself must not become one by what stands around it.
    Regex::new(pattern).map_err(|error| told(&error.to_string()))?;
    Regex::new(&format!(r"\A(?:{pattern})\z")).map_err(|error| told(&error.to_string()))
}

/// The last line of an expression's error says what is wrong.
fn told(error: &str) -> String {
    let last = error.lines().last().unwrap_or_default().trim();
    format!("cannot be used: {}", last.trim_start_matches("error: "))
}

#[cfg(test)]
mod tests {
    use super::whole;

    #[test]
    fn only_whole_names_match() {
        let is_match = |pattern: &str| whole(pattern).unwrap().is_match("orders-raw");
        assert!(is_match("orders-.*") && is_match("a|orders-raw"));
        assert!(!is_match("orders") && !is_match("orders|a"));
        assert!(whole("(").is_err());
        assert!(whole("a)|(b").is_err());
    }
}

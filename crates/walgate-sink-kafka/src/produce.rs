//! Producing to a topic by its handle.
//!
//! Who produces by a topic's name, as rdkafka's safe interface has it, has librdkafka look through the list of all
//! topics for each message, under the lock that all of its threads share.

use std::ffi::{CStr, CString};
use std::ptr::NonNull;
use std::sync::Arc;

use rdkafka::bindings;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

/// A topic of a producer.
pub(crate) struct TopicHandle<C: ProducerContext + 'static> {
    topic: NonNull<bindings::rd_kafka_topic_t>,
    /// Outlives the handle: librdkafka wants topics to go before their client.
    producer: Arc<BaseProducer<C>>,
}

#[expect(
    unsafe_code,
    reason = "a raw pointer to what librdkafka locks by itself"
)]
// SAFETY: librdkafka's handles may be used from, and destroyed on, any thread.
unsafe impl<C: ProducerContext> Send for TopicHandle<C> {}

#[expect(
    unsafe_code,
    reason = "a raw pointer to what librdkafka locks by itself"
)]
// SAFETY: as for `Send`: a topic is only read through it, under librdkafka's own locks.
unsafe impl<C: ProducerContext> Sync for TopicHandle<C> {}

/// The headers of one message.
pub(crate) struct Headers(*mut bindings::rd_kafka_headers_t);

/// One message; key and value are copied.
pub(crate) struct Message<'a> {
    pub(crate) partition: i32,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers,
    /// Comes back with the delivery report.
    pub(crate) opaque: usize,
}

impl<C: ProducerContext<DeliveryOpaque = usize>> TopicHandle<C> {
    /// The handle of the topic with this name. It need not be there yet.
    ///
    /// # Errors
    ///
    /// For a name that no topic can have.
    pub(crate) fn new(producer: &Arc<BaseProducer<C>>, name: &str) -> Result<Self, Code> {
        let name = CString::new(name).map_err(|_| Code::InvalidTopic)?;
        let client = producer.client().native_ptr();
        #[expect(unsafe_code, reason = "rdkafka gives no handle of a topic")]
        // SAFETY: the client lives as long as `producer`, which the handle keeps; the name ends with a zero and
        // is copied; without a configuration the client's own is taken.
        let topic =
            unsafe { bindings::rd_kafka_topic_new(client, name.as_ptr(), std::ptr::null_mut()) };
        Ok(Self {
            topic: NonNull::new(topic).ok_or(Code::InvalidTopic)?,
            producer: Arc::clone(producer),
        })
    }

    /// Puts a message into the queue of its partition.
    ///
    /// # Errors
    ///
    /// [`Code::QueueFull`] when it can be offered again later; nothing has been taken then.
    pub(crate) fn produce(&self, message: Message<'_>) -> Result<(), Code> {
        use bindings::rd_kafka_vtype_t as Kind;

        let Message {
            partition,
            key,
            value,
            headers,
            opaque,
        } = message;
        let bytes = |bytes: Option<&[u8]>| {
            bytes.map_or((std::ptr::null(), 0), |bytes| (bytes.as_ptr(), bytes.len()))
        };
        let ((key, key_len), (value, value_len)) = (bytes(key), bytes(value));
        let client = self.producer.client().native_ptr();
        #[expect(unsafe_code, reason = "rdkafka's own send takes a name")]
        // SAFETY: client and topic live as long as `self`, and belong together. Each kind is followed by arguments
        // of the C types that librdkafka's documentation of it names, and the last one is END. Key and value are
        // valid for the call and copied (MSG_F_COPY). The headers are a list of their own, which librdkafka takes
        // over when it succeeds, and only then. The opaque word is what rdkafka makes of a `usize`.
        let error = unsafe {
            bindings::rd_kafka_producev(
                client,
                Kind::RD_KAFKA_VTYPE_RKT,
                self.topic.as_ptr(),
                Kind::RD_KAFKA_VTYPE_PARTITION,
                partition,
                Kind::RD_KAFKA_VTYPE_MSGFLAGS,
                bindings::RD_KAFKA_MSG_F_COPY,
                Kind::RD_KAFKA_VTYPE_VALUE,
                value,
                value_len,
                Kind::RD_KAFKA_VTYPE_KEY,
                key,
                key_len,
                Kind::RD_KAFKA_VTYPE_OPAQUE,
                opaque as *mut std::ffi::c_void,
                Kind::RD_KAFKA_VTYPE_HEADERS,
                headers.0,
                Kind::RD_KAFKA_VTYPE_END,
            )
        };
        match Code::from(error) {
            Code::NoError => {
                std::mem::forget(headers);
                Ok(())
            }
            code => Err(code),
        }
    }
}

impl<C: ProducerContext> Drop for TopicHandle<C> {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the counterpart of rd_kafka_topic_new")]
        // SAFETY: it came from rd_kafka_topic_new, is destroyed once, and before its client, which `producer` keeps.
        unsafe {
            bindings::rd_kafka_topic_destroy(self.topic.as_ptr());
        }
    }
}

impl Headers {
    /// For so many.
    pub(crate) fn new(count: usize) -> Self {
        #[expect(
            unsafe_code,
            reason = "rdkafka keeps the pointer of its own list to itself"
        )]
        // SAFETY: it takes any count, and returns a list that is ours, or aborts where memory is short.
        Self(unsafe { bindings::rd_kafka_headers_new(count) })
    }

    /// Adds one behind the others.
    pub(crate) fn add(&mut self, name: &CStr, value: &[u8]) {
        #[expect(unsafe_code, reason = "see `new`")]
        // SAFETY: the list is ours; name and value are valid for the call, have these lengths, and are copied.
        // The only error is that a list is read-only, which ours is not.
        unsafe {
            bindings::rd_kafka_header_add(
                self.0,
                name.as_ptr(),
                name.count_bytes().cast_signed(),
                value.as_ptr().cast(),
                value.len().cast_signed(),
            );
        }
    }
}

impl Drop for Headers {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the counterpart of rd_kafka_headers_new")]
        // SAFETY: the list is ours: whoever gives it away forgets it.
        unsafe {
            bindings::rd_kafka_headers_destroy(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use rdkafka::message::Headers as _;
    use rdkafka::producer::{DeliveryResult, PurgeConfig};
    use rdkafka::{ClientConfig, ClientContext, Message as _};

    use super::*;

    /// A report: topic, partition, key, value, headers, and the opaque word.
    type Report = (
        String,
        i32,
        Vec<u8>,
        Option<Vec<u8>>,
        Vec<(String, Vec<u8>)>,
        usize,
    );

    #[derive(Default)]
    struct Reports(Mutex<Vec<Report>>);

    impl ClientContext for Reports {}

    impl ProducerContext for Reports {
        type DeliveryOpaque = usize;

        fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
            let (Ok(message) | Err((_, message))) = result;
            let headers = message.headers().map(|headers| {
                let pair = |header: rdkafka::message::Header<'_, &[u8]>| {
                    (
                        header.key.to_owned(),
                        header.value.unwrap_or_default().to_owned(),
                    )
                };
                headers.iter().map(pair).collect()
            });
            self.0.lock().expect("no panic").push((
                message.topic().to_owned(),
                message.partition(),
                message.key().unwrap_or_default().to_owned(),
                message.payload().map(<[u8]>::to_owned),
                headers.unwrap_or_default(),
                opaque,
            ));
        }
    }

    /// It reaches nobody: nothing is ever sent.
    fn producer(most: &str) -> Arc<BaseProducer<Reports>> {
        let created = ClientConfig::new()
            .set("bootstrap.servers", "localhost:1")
            .set("queue.buffering.max.messages", most)
            .create_with_context(Reports::default());
        Arc::new(created.expect("a producer"))
    }

    /// Throws away what waits, and returns its reports.
    fn reports_of(producer: &BaseProducer<Reports>) -> Vec<Report> {
        producer.purge(PurgeConfig::default().queue());
        while producer.in_flight_count() > 0 {
            producer.poll(Duration::from_millis(10));
        }
        std::mem::take(&mut *producer.context().0.lock().expect("no panic"))
    }

    fn message(value: Option<&[u8]>) -> Message<'_> {
        let mut headers = Headers::new(1);
        headers.add(c"one", b"1");
        headers.add(c"none", b"");
        Message {
            partition: 0,
            key: Some(b"key"),
            value,
            headers,
            opaque: usize::MAX,
        }
    }

    #[test]
    fn what_is_produced_comes_back_whole() {
        let producer = producer("10");
        let topic = TopicHandle::new(&producer, "shop.orders").expect("a topic");
        topic.produce(message(Some(b"value"))).expect("room");
        topic.produce(message(None)).expect("room");
        drop(topic);
        let headers = vec![
            ("one".to_owned(), b"1".to_vec()),
            ("none".to_owned(), Vec::new()),
        ];
        let report = |value: Option<&[u8]>| {
            let value = value.map(<[u8]>::to_owned);
            (
                "shop.orders".to_owned(),
                0,
                b"key".to_vec(),
                value,
                headers.clone(),
                usize::MAX,
            )
        };
        assert_eq!(
            reports_of(&producer),
            [report(Some(b"value")), report(None)]
        );
    }

    #[test]
    fn a_full_queue_takes_nothing() {
        let producer = producer("1");
        let topic = TopicHandle::new(&producer, "shop.orders").expect("a topic");
        topic.produce(message(None)).expect("room");
        assert_eq!(topic.produce(message(None)), Err(Code::QueueFull));
        assert_eq!(reports_of(&producer).len(), 1);
    }

    #[test]
    fn a_name_that_no_topic_has_is_refused() {
        let producer = producer("1");
        for name in ["no\0name", &"x".repeat(600)] {
            assert_eq!(
                TopicHandle::new(&producer, name).err(),
                Some(Code::InvalidTopic),
                "{name}"
            );
        }
    }
}

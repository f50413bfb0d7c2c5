//! What the brokers allow us with topics: rdkafka has no function for it, librdkafka has.

use std::ffi::{CStr, CString};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::admin::AdminClient;
use rdkafka::bindings as rd;

/// Whether each topic may be written to; a topic that the answer lacks is not in it, and none is when
/// there is no answer. A cluster without an authorizer allows everything.
#[expect(
    unsafe_code,
    reason = "rdkafka has no safe function for DescribeTopics"
)]
pub(crate) fn writable<C: ClientContext>(
    admin: &AdminClient<C>,
    topics: &[&str],
    most: Duration,
) -> Vec<(String, bool)> {
    let names: Vec<_> = topics
        .iter()
        .filter_map(|topic| CString::new(*topic).ok())
        .collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(most.as_millis()).unwrap_or(i32::MAX);
    let client = admin.inner().native_ptr();
    // SAFETY: the client lives as long as `admin`, which is borrowed. Every object is made here, may be
    // null only where that is checked, is used before it is destroyed and destroyed once; librdkafka
    // copies the names, and the result lives as long as its event.
    unsafe {
        let queue = rd::rd_kafka_queue_new(client);
        let options = rd::rd_kafka_AdminOptions_new(
            client,
            rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        let asked = rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), names.len());
        let mut why = [0; 128];
        rd::rd_kafka_AdminOptions_set_request_timeout(options, millis, why.as_mut_ptr(), why.len());
        let error = rd::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            rd::rd_kafka_error_destroy(error);
        }
        rd::rd_kafka_DescribeTopics(client, asked, options, queue);
        let event = rd::rd_kafka_queue_poll(queue, millis);
        let found = match event.is_null() {
            true => Vec::new(),
            false => read(event),
        };
        if !event.is_null() {
            rd::rd_kafka_event_destroy(event);
        }
        rd::rd_kafka_TopicCollection_destroy(asked);
        rd::rd_kafka_AdminOptions_destroy(options);
        rd::rd_kafka_queue_destroy(queue);
        found
    }
}

/// # Safety
///
/// `event` is a live event of librdkafka.
#[expect(unsafe_code, reason = "reads what librdkafka has answered")]
unsafe fn read(event: *mut rd::rd_kafka_event_t) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    // SAFETY: the event is live; an event of another type gives null, and one that failed no topics.
    // The arrays have as many elements as librdkafka says and live as long as the event.
    unsafe {
        let result = rd::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return found;
        }
        let mut count = 0;
        let topics = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        for place in 0..if topics.is_null() { 0 } else { count } {
            let topic = *topics.add(place);
            let error = rd::rd_kafka_TopicDescription_error(topic);
            let failed = !error.is_null()
                && rd::rd_kafka_error_code(error)
                    != rd::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
            let name = rd::rd_kafka_TopicDescription_name(topic);
            if failed || name.is_null() {
                continue;
            }
            let mut count = 0;
            let allowed =
                rd::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count);
            // Brokers that don't say what is allowed say nothing.
            if ptr::eq(allowed, ptr::null()) {
                continue;
            }
            let may_write = (0..count).any(|place| {
                let operation = *allowed.add(place);
                operation == rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_WRITE
                    || operation == rd::rd_kafka_AclOperation_t::RD_KAFKA_ACL_OPERATION_ALL
            });
            let name = CStr::from_ptr(name).to_string_lossy().into_owned();
            found.push((name, may_write));
        }
    }
    found
}

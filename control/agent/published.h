// What of an object is published: what gateways read, and no more, so that a change nobody reads
// (a heartbeat, a resourceVersion, a condition of ours) is no change in Redis.
// Ownership: by value. Thread: any, pure.
#pragma once

#include <string>

#include "store.pb.h"

namespace sluice::agent {

// Takes out of an object what no gateway reads: metadata.resourceVersion, a Service's conditions,
// when the endpoints of a slice last changed, and all conditions of a Node but Ready's status.
void keep_what_gateways_read(v1::Object* object);

// As it lies in Redis, of this writer; equal objects give equal bytes.
std::string encode_published(v1::Object object, const std::string& writer);

}  // namespace sluice::agent

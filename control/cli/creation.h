// What the API server gives an object when it first sees it, for objects no API server sees.
// Thread: any.
#pragma once

#include <chrono>
#include <string>

#include "store.pb.h"

namespace sluice {

// Random UUID (RFC 9562, version 4).
std::string random_uid();
// A new uid, creationTimestamp and generation 1, whatever the metadata said.
void set_created(v1::ObjectMeta* metadata, std::chrono::system_clock::time_point now);
// What an exported object brings (uid, creationTimestamp, generation) is kept, the rest made.
void set_restored(v1::ObjectMeta* metadata, std::chrono::system_clock::time_point now);
// Those of `old`, the generation raised if the content (all but metadata and status) differs.
void set_updated(v1::Object* object, const v1::Object& old);

}  // namespace sluice

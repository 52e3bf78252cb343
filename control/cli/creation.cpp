#include "control/cli/creation.h"

#include <google/protobuf/util/message_differencer.h>

#include <boost/uuid/random_generator.hpp>
#include <boost/uuid/uuid_io.hpp>

#include "control/cli/age.h"
#include "control/model/key.h"

namespace sluice {
namespace {

// The object without what is not its specification.
v1::Object content(v1::Object object) {
  object.clear_header();
  if (auto* metadata = mutable_metadata_of(&object)) metadata->Clear();
  if (object.has_service()) object.mutable_service()->clear_status();
  if (object.has_node()) object.mutable_node()->clear_status();
  if (object.has_pod()) object.mutable_pod()->clear_status();
  return object;
}

}  // namespace

std::string random_uid() {
  boost::uuids::random_generator generate;
  return boost::uuids::to_string(generate());
}

void set_created(v1::ObjectMeta* metadata, std::chrono::system_clock::time_point now) {
  metadata->set_uid(random_uid());
  metadata->set_creation_timestamp(rfc3339_text(now));
  metadata->set_generation(1);
}

void set_restored(v1::ObjectMeta* metadata, std::chrono::system_clock::time_point now) {
  if (metadata->uid().empty()) metadata->set_uid(random_uid());
  if (!parse_rfc3339(metadata->creation_timestamp()))
    metadata->set_creation_timestamp(rfc3339_text(now));
  if (metadata->generation() < 1) metadata->set_generation(1);
}

void set_updated(v1::Object* object, const v1::Object& old) {
  v1::ObjectMeta* metadata = mutable_metadata_of(object);
  const v1::ObjectMeta* before = metadata_of(old);
  if (!metadata || !before) return;
  metadata->set_uid(before->uid());
  metadata->set_creation_timestamp(before->creation_timestamp());
  metadata->set_resource_version(before->resource_version());
  const bool same =
      google::protobuf::util::MessageDifferencer::Equals(content(*object), content(old));
  metadata->set_generation(before->generation() + (same ? 0 : 1));
}

}  // namespace sluice

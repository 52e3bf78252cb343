// `sluice describe service`: all that is known of one Service, for people.
#pragma once

#include <string>

#include "control/cli/context.h"
#include "control/cli/object_tables.h"
#include "dataplane.pb.h"

namespace sluice {

struct DescribeOptions {
  std::string resource;
  std::string name;  // "NAME" or "NAMESPACE/NAME"; empty: `resource` is "KIND/NAME".
  std::string ns = "default";
  std::string source;  // Empty: all.
};
int describe_command(Context& context, const DescribeOptions& options);

// What a description is made of; pure from here on.
struct Description {
  const v1::Service* service = nullptr;
  std::string source;
  ServiceInputs inputs;
  const v1::ServiceStatus* status = nullptr;  // Merged; null: no gateway told.
  const v1::Report* report = nullptr;         // Null: the dataplane cannot be reached.
  const v1::Statistics* statistics = nullptr;
  std::string dataplane_error;
  std::chrono::system_clock::time_point now;
};
std::string describe_text(const Description& d);

}  // namespace sluice

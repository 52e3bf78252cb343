// Load: objects in number, and changes of them at a rate. Written past the API's rules, so that the
// server stays cheap; the objects are what the API server would hold.
// Ownership: refers to the Store. Thread: the Store's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "tests/support/kube/store.h"

namespace sluice::test::kube {

struct GenerateOptions {
  std::size_t services = 10'000, endpoints_per_service = 10, namespaces = 20, nodes = 20;
  double three_port_share = 0.1, dual_stack_share = 0.1;
  std::size_t slice_size = 100;  // Endpoints in one slice at most.
  std::string prefix = "svc";    // Names: PREFIX-N in namespace load-N.
};
// The same options make the same objects but for uid and time.
void generate(Store& store, const GenerateOptions& options);

struct ChurnOptions {
  double rate = 500;  // Changes a second.
  double seconds = 10;
  std::uint64_t seed = 1;
};

// Changes one endpoint of a generated slice at a time: ready and back, an address and another. The
// annotation "load/changed-at" has the system clock's nanoseconds at the change.
class Load {
 public:
  Load(boost::asio::any_io_executor executor, Store& store);
  ~Load();
  void start(const ChurnOptions& options);  // Ends one that runs.
  void stop();
  struct Progress {
    bool running = false;
    std::uint64_t changes = 0, late = 0;  // Late: behind the rate by more than 10 ms.
  };
  Progress progress() const;

 private:
  struct Parts;
  std::shared_ptr<Parts> parts_;
};

}  // namespace sluice::test::kube

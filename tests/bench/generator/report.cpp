#include "tests/bench/generator/report.h"

#include <fmt/format.h>

namespace sluice::generator {

std::string latency_json(const Histogram& latency, std::uint64_t hz) {
  const double unit = 16e6 / static_cast<double>(hz);
  return fmt::format(R"({{"min":{:.2f},"median":{:.2f},"p99":{:.2f},"p99_9":{:.2f},"max":{:.2f}}})",
                     unit * latency.minimum(), unit * latency.percentile(0.5),
                     unit * latency.percentile(0.99), unit * latency.percentile(0.999),
                     unit * latency.maximum());
}

std::string trial_json(const std::string& subject, const Trial& trial, std::uint64_t hz) {
  std::string queues;
  for (std::size_t i = 0; i < trial.sent_by_queue.size(); ++i) {
    queues += fmt::format(R"({}{{"sent":{},"received":{}}})", i == 0 ? "" : ",",
                          trial.sent_by_queue[i], trial.received.queues[i]);
  }
  const Received& received = trial.received;
  return fmt::format(
      R"({{"subject":"{}","asked_pps":{:.0f},"seconds":{:.3f},"offered":{},"refused":{},"skipped":{},)"
      R"("received":{},"lost":{},"loss":{:.3g},"reordered":{},"duplicated":{},"misdirected":{},)"
      R"("other":{},"offered_pps":{:.0f},"rate_pps":{:.0f},"kept_up":{},"waited_us":{:.0f},"latency_us":{},"queues":[{}]}})",
      subject, trial.asked_rate, trial.seconds, trial.offered, trial.refused, trial.skipped,
      received.packets, trial.lost(), trial.loss(), received.reordered, received.duplicated,
      received.misdirected, received.other, trial.offered_rate(), trial.rate(), trial.kept_up(),
      static_cast<double>(trial.waited_ns) / 1e3, latency_json(received.latency, hz), queues);
}

}  // namespace sluice::generator

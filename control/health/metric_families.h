// MetricFamilies: metrics of one moment, as the text Prometheus reads.
// Purpose: adds up what a /metrics answer says; all metrics of one name are added one after the
// other, since they have to stand together. Ownership: by value. Thread: one. Errors: none.
// Source: prometheus.io, "Exposition formats" (text, 0.0.4).
#pragma once

#include <prometheus/metric_family.h>

#include <cstdint>
#include <string>
#include <vector>

#include "control/health/latency_histogram.h"

namespace sluice {

class MetricFamilies {
 public:
  using Labels = std::vector<prometheus::ClientMetric::Label>;
  static constexpr const char* kContentType = "text/plain; version=0.0.4; charset=utf-8";

  void gauge(const std::string& name, const std::string& help, Labels labels, double value);
  void counter(const std::string& name, const std::string& help, Labels labels,
               std::uint64_t value);
  void histogram(const std::string& name, const std::string& help, Labels labels,
                 const LatencyHistogram& latency);
  std::string text() const;

 private:
  prometheus::ClientMetric& add(const std::string& name, const std::string& help,
                                prometheus::MetricType type, Labels labels);
  std::vector<prometheus::MetricFamily> families_;
};

}  // namespace sluice

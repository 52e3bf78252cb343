#include "control/health/metric_families.h"

#include <prometheus/text_serializer.h>

#include <utility>

namespace sluice {

using prometheus::ClientMetric;
using prometheus::MetricType;

ClientMetric& MetricFamilies::add(const std::string& name, const std::string& help, MetricType type,
                                  Labels labels) {
  if (families_.empty() || families_.back().name != name) {
    families_.push_back({name, help, type, {}});
  }
  ClientMetric& metric = families_.back().metric.emplace_back();
  metric.label = std::move(labels);
  return metric;
}

void MetricFamilies::gauge(const std::string& name, const std::string& help, Labels labels,
                           double value) {
  add(name, help, MetricType::Gauge, std::move(labels)).gauge.value = value;
}

void MetricFamilies::counter(const std::string& name, const std::string& help, Labels labels,
                             std::uint64_t value) {
  add(name, help, MetricType::Counter, std::move(labels)).counter.value =
      static_cast<double>(value);
}

void MetricFamilies::histogram(const std::string& name, const std::string& help, Labels labels,
                               const LatencyHistogram& latency) {
  ClientMetric::Histogram& out =
      add(name, help, MetricType::Histogram, std::move(labels)).histogram;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < latency.counts().size(); ++i) {
    sum += latency.counts()[i];
    if (i < LatencyHistogram::kBounds.size())
      out.bucket.push_back({sum, LatencyHistogram::kBounds[i]});
  }
  out.sample_count = sum;
  out.sample_sum = latency.sum();
}

std::string MetricFamilies::text() const {
  return prometheus::TextSerializer().Serialize(families_);
}

}  // namespace sluice

#include "control/store/reseed.h"

#include <algorithm>
#include <utility>

#include "control/store/keys.h"
#include "control/store/source_hash.h"

namespace sluice::store {

namespace asio = boost::asio;

// A publisher of manual that acts for the leader: every script compares the lease.
class Reseeder {
 public:
  Reseeder(Redis& redis, const Leader& leader, std::string writer)
      : redis_(redis), publisher_(redis, kManualSource, leader.token, std::move(writer)) {
    publisher_.writer_.act_for(leader.instance);
  }

  asio::awaitable<Result<PublishReport>> run(v1::DiskSource copy, Reseed mode) {
    ObjectList objects;
    for (const v1::Object& object : copy.objects()) {
      objects.push_back(std::make_shared<const v1::Object>(object));
    }
    PublishReport report;
    auto before = co_await read_source_hash(redis_, kManualSource);
    if (!before) co_return Error{before.error()};
    auto changes = publisher_.all_or_error(co_await publisher_.writer_.put(
        to_put(kManualSource, std::move(objects)),
        mode == Reseed::kFill ? ObjectWriter::Mode::kAbsent : ObjectWriter::Mode::kCompare,
        Arrivals()));
    if (!changes) co_return Error{changes.error()};
    for (const Change change : *changes) {
      report.created += change == Change::kCreated;
      report.configured += change == Change::kConfigured;
      report.unchanged += change == Change::kUnchanged;
    }
    // The new incarnation comes after the values: a crash before it leaves the step back to be
    // seen.
    if (mode == Reseed::kReplace) {
      ScriptCall renew = publisher_.writer_.call();
      renew.arguments.push_back(copy.incarnation());
      auto renewed = co_await run_script_once(redis_, kRenewScript, std::move(renew));
      if (!renewed) co_return Error{renewed.error()};
    }
    v1::SourceMarker marker;
    for (const v1::Kind kind : all_kinds()) marker.add_complete(kind);
    // A repair within an incarnation adds nothing to where that incarnation came from.
    const bool repair = mode == Reseed::kFill && before->incarnation == copy.incarnation();
    marker.set_reseeded_incarnation(repair ? copy.marker().reseeded_incarnation()
                                           : copy.incarnation());
    marker.set_reseeded_sequence(repair ? copy.marker().reseeded_sequence() : copy.sequence());
    const bool wrote = report.created + report.configured > 0 || mode == Reseed::kReplace;
    auto finished = co_await publisher_.finish(std::move(marker), wrote, false, std::nullopt);
    if (!finished) co_return Error{finished.error()};
    report.marker_written = *finished;
    co_return report;
  }

 private:
  Redis& redis_;
  Publisher publisher_;
};

asio::awaitable<Result<PublishReport>> reseed(Redis& redis, const Leader& leader,
                                              const v1::DiskState& disk, Reseed mode,
                                              std::string writer) {
  if (mode == Reseed::kNo) co_return PublishReport{};
  v1::DiskSource copy;
  for (const v1::DiskSource& source : disk.sources()) {
    if (source.marker().source() == kManualSource) copy = source;
  }
  Reseeder reseeder(redis, leader, std::move(writer));
  co_return co_await reseeder.run(std::move(copy), mode);
}

}  // namespace sluice::store

#include "control/cli/watch.h"

#include <chrono>
#include <iostream>
#include <set>
#include <string_view>
#include <thread>
#include <utility>

#include "control/manifest/show.h"
#include "control/store/keys.h"
#include "control/store/stream.h"

namespace sluice {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kEventWidth = std::string_view("MODIFIED").size();
constexpr auto kPoll = 1s;  // For what the stream does not tell: statuses, the ledger's holders.

class Watch {
 public:
  Watch(Context& context, const ResourceNames& wanted, const GetOptions& options)
      : context_(context), wanted_(wanted), options_(options) {}

  // The list as it is now; afterwards only what differs from it is told.
  Status begin() {
    if (Status s = read(); !s) return s;
    if (!options_.watch_only) return show();
    auto now = shown();
    if (!now) return Error{now.error()};
    shown_ = std::move(*now);
    return Ok{};
  }

  // One wait for changes.
  Status step() {
    auto redis = context_.redis();
    if (!redis) return Error{redis.error()};
    auto entries = context_.run(store::read_new(**redis, position_, kPoll));
    if (!entries) return Error{entries.error()};
    changed_.clear();
    for (const store::StreamEntry& entry : *entries) {
      position_ = entry.id;
      if (!take(entry)) return again();
    }
    if (Status s = fetch(**redis); !s) return s;
    return show();
  }

  // Everything anew, after a gap or a lost connection.
  Status again() {
    changed_.clear();
    if (Status s = read(); !s) return s;
    return show();
  }

 private:
  struct Shown {
    std::string text;  // All of a row but its age, or the whole object.
    std::vector<std::string> row;
    store::StoredObject object;
  };
  using ShownMap = std::map<ObjectKey, Shown>;

  Status read() {
    auto redis = context_.redis();
    if (!redis) return Error{redis.error()};
    auto last = context_.run(store::last_entry(**redis));  // First: nothing falls in between.
    if (!last) return Error{last.error()};
    auto selection = select_objects(context_, **redis, wanted_, options_);
    if (!selection) return Error{selection.error()};
    position_ = *last;
    histories_.clear();
    selection_.emplace(std::move(*selection));
    return Ok{};
  }

  // False: entries are missing in between.
  bool take(const store::StreamEntry& entry) {
    if (entry.source.empty()) return true;
    History& history = histories_[entry.source];
    const bool first = history.incarnation.empty();
    const bool follows =
        entry.incarnation == history.incarnation && entry.sequence == history.sequence + 1;
    history = {entry.incarnation, entry.sequence};
    if (!first && !follows) return false;
    if (entry.key && entry.key->kind == selection_->query().kind) changed_.insert(*entry.key);
    return true;
  }

  Status fetch(store::Redis& redis) {
    if (changed_.empty()) return Ok{};
    auto listing = context_.run(store::get_objects(redis, {changed_.begin(), changed_.end()}));
    if (!listing) return Error{listing.error()};
    std::set<ObjectKey> gone = changed_;
    for (store::StoredObject& object : listing->objects) {
      gone.erase(object.key);
      selection_->put(std::move(object));
    }
    for (const ObjectKey& key : gone) selection_->remove(key);
    return Ok{};
  }

  Result<ShownMap> shown() {
    auto redis = context_.redis();
    if (!redis) return Error{redis.error()};
    if (options_.structured() && selection_->query().kind == v1::KIND_SERVICE) {
      const auto statuses = merged_statuses(context_, **redis, selection_->chosen());
      if (!statuses) return Error{statuses.error()};
      selection_->add_status(*statuses);
    }
    const Objects objects = selection_->chosen();
    ShownMap map;
    if (options_.structured() || options_.output == "name") {
      for (const auto* object : objects)
        map.emplace(object->key, Shown{text_of(object->object), {}, *object});
      return map;
    }
    TableOptions look = table_options(options_);
    look.sources = sources_ = sources_ || selection_->several_sources();
    const auto table = object_table(context_, **redis, wanted_.resource, objects, look);
    if (!table) return Error{table.error()};
    header_ = table->header();
    for (std::size_t i = 0; i < objects.size() && i < table->rows().size(); ++i) {
      const std::vector<std::string>& row = table->rows()[i];
      map.emplace(objects[i]->key, Shown{without_age(row), row, *objects[i]});
    }
    return map;
  }

  std::string text_of(const v1::Object& object) const {
    if (options_.output == "json") return object_json(object);
    if (options_.output == "yaml") return object_yaml(object);
    return qualified_name(kind_of(object), metadata_of(object)->name()) + "\n";
  }
  std::string without_age(const std::vector<std::string>& row) const {
    std::string text;
    for (std::size_t i = 0; i < row.size(); ++i)
      if (header_[i] != "AGE") text += row[i] + '\n';
    return text;
  }

  Status show() {
    auto now = shown();
    if (!now) return Error{now.error()};
    std::vector<std::pair<const char*, const Shown*>> events;
    for (const auto& [key, item] : shown_)
      if (!now->contains(key)) events.emplace_back("DELETED", &item);
    for (const auto& [key, item] : *now) {
      const auto before = shown_.find(key);
      if (before == shown_.end()) {
        events.emplace_back("ADDED", &item);
      } else if (before->second.text != item.text || changed_.contains(key)) {
        events.emplace_back("MODIFIED", &item);
      }
    }
    print(events);
    shown_ = std::move(*now);
    return Ok{};
  }

  void print(const std::vector<std::pair<const char*, const Shown*>>& events) {
    if (events.empty()) return;
    if (options_.structured() || options_.output == "name") {
      for (const auto& event : events) {
        if (options_.output == "yaml") std::cout << "---\n";
        std::cout << event.second->text;
      }
    } else {
      print_rows(events);
    }
    std::cout.flush();
  }

  void print_rows(const std::vector<std::pair<const char*, const Shown*>>& events) {
    const auto line = [&](const char* event, std::vector<std::string> row) {
      if (options_.watch_events) row.insert(row.begin(), event);
      return row;
    };
    Table table(line("EVENT", header_));
    for (const auto& [event, item] : events) table.add(line(event, item->row));
    // Another set of columns (a second source came) has a header of its own.
    const bool header = !options_.no_headers && header_ != printed_header_;
    if (header_ != printed_header_)
      widths_ = options_.watch_events ? std::vector{kEventWidth} : std::vector<std::size_t>{};
    printed_header_ = header_;
    std::cout << table.text({.header = header, .widths = &widths_});
  }

  struct History {
    std::string incarnation;
    std::uint64_t sequence = 0;
  };

  Context& context_;
  const ResourceNames& wanted_;
  const GetOptions& options_;
  std::optional<Selection> selection_;
  std::string position_;
  std::map<std::string, History> histories_;  // Of each source, as the stream last told.
  std::set<ObjectKey> changed_;               // Since the last show().
  ShownMap shown_;
  bool sources_ = false;
  std::vector<std::string> header_, printed_header_;
  std::vector<std::size_t> widths_;
};

}  // namespace

int watch_objects(Context& context, const ResourceNames& wanted, const GetOptions& options) {
  Watch watch(context, wanted, options);
  if (Status s = watch.begin(); !s) return fail(s.error());
  bool lost = false;
  while (std::cout.good()) {
    const Status status = lost ? watch.again() : watch.step();
    if (!status && !lost) warn(status.error() + "; trying again");
    lost = !status;
    if (lost) std::this_thread::sleep_for(kPoll);
  }
  return kExitOk;  // Whoever read has gone.
}

}  // namespace sluice

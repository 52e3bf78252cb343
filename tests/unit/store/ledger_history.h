// LedgerHistory: every record the ledger ever had, as Redis' MONITOR shows the scripts write them,
// and whether two ever held one address. What must hold of each record: its holders use different
// ports and, if several, one key. Of each record after the one before: its revision is the next;
// whom it adds shares with all who were there, or nobody was and the hold time is over, or it was
// the last. After everything was lost, nothing is granted before all that was held is held again by
// the same.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proto/address.h"
#include "store.pb.h"

namespace sluice::test {

class LedgerHistory {
 public:
  explicit LedgerHistory(std::int64_t hold_ms) : hold_ms_(hold_ms) {}

  // One line of MONITOR.
  void add_line(std::string_view line);
  void add(std::int64_t now_ms, const v1::Address& record);
  void lost();
  void ready();

  std::size_t grants() const { return grants_; }
  std::size_t releases() const { return releases_; }
  std::size_t rebuilds() const { return rebuilds_; }
  bool whole() const { return lost_.empty() && !rebuilding_; }
  const std::vector<std::string>& violations() const { return violations_; }

 private:
  void check_alone(const std::string& address, const v1::Address& record);
  void check_step(std::int64_t now_ms, const std::string& address, const v1::Address& before,
                  const v1::Address& after);
  void violation(std::string text);

  std::int64_t hold_ms_;
  std::map<IpAddress, v1::Address> records_;
  std::set<IpAddress> lost_;  // Held before everything was lost, and not written again yet.
  bool rebuilding_ = true;
  std::size_t grants_ = 0, releases_ = 0, rebuilds_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace sluice::test

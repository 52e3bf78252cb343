// RateSearch: bisection for the highest rate at which enough trials pass.
//
// Thread: one; pure. Units: packets per second.
// A rate passes when `needed` of at most `trials` trials do; what can no longer change the outcome
// is not tried.
#pragma once

namespace sluice::generator {

class RateSearch {
 public:
  struct Settings {
    double low = 0, high = 0;  // A rate known to pass (or 0), and one that is not expected to.
    double precision = 0.01;   // Ends when the two are this share apart.
    unsigned trials = 5, needed = 3;
  };
  explicit RateSearch(const Settings& settings) : settings_(settings) {}

  bool done() const {
    return settings_.high - settings_.low <= settings_.precision * settings_.high ||
           settings_.high < 1;
  }
  // What the next trial should send.
  double rate() const { return (settings_.low + settings_.high) / 2; }
  void add(bool passed) {
    ++(passed ? passed_ : failed_);
    if (passed_ == settings_.needed) {
      settings_.low = rate();
    } else if (failed_ == settings_.trials - settings_.needed + 1) {
      settings_.high = rate();
    } else {
      return;
    }
    passed_ = failed_ = 0;
  }
  // The highest rate that passed; 0: none did.
  double best() const { return settings_.low; }

 private:
  Settings settings_;
  unsigned passed_ = 0, failed_ = 0;
};

}  // namespace sluice::generator

// keys: where things lie in Redis. Everything of ours begins with "sluice:1:"; 1 is the major
// version. Purpose: one place that makes and reads key names. Thread: any, pure. Errors: what does
// not parse is not ours: std::nullopt. Bounds: a source is 1 to 63 of [a-z0-9-] and begins with a
// letter or digit; a namespace at most 63 and a name 1 to 253 of [A-Za-z0-9._-]; a gateway's name
// as a name. Source: proto/README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "control/model/key.h"
#include "proto/address.h"

namespace sluice::store::keys {

inline constexpr std::string_view kPrefix = "sluice:1:";
inline constexpr std::string_view kObjectPrefix = "sluice:1:object:";
inline constexpr std::string_view kStream = "sluice:1:stream";
inline constexpr std::string_view kSources = "sluice:1:sources";  // Set of source names.
inline constexpr std::string_view kLedger =
    "sluice:1:ledger";  // Hash: incarnation, sequence, ready.
inline constexpr std::string_view kAddressIndex =
    "sluice:1:addresses";                                       // Hash: address -> revision.
inline constexpr std::string_view kLeader = "sluice:1:leader";  // Hash with a time to live.
inline constexpr std::string_view kLeaderToken = "sluice:1:leader:token";  // Counter.
inline constexpr std::string_view kSecret = "sluice:1:secret";             // For controls alone.
inline constexpr std::string_view kGateways = "sluice:1:gateways";         // Set of gateway names.

inline constexpr std::string_view kMergedStatus = "-";  // In a gateway's place.
inline constexpr std::string_view kLedgerSource = "-";  // Source of the ledger's stream entries.

bool valid_source(std::string_view name);
bool valid_name(std::string_view name);
// Bounds of all parts, and a namespace exactly where the kind has one.
bool valid(const ObjectKey& key);

std::string object(const ObjectKey& key);           // sluice:1:object:SOURCE:KIND:NAMESPACE/NAME
std::string object_name(const ObjectKey& key);      // NAMESPACE/NAME, as in stream entries.
std::string source(std::string_view source);        // sluice:1:source:SOURCE
std::string accept(std::string_view source);        // sluice:1:accept:SOURCE
std::string address(const IpAddress& address);      // sluice:1:address:ADDRESS
std::string gateway(std::string_view gateway);      // sluice:1:gateway:NAME
std::string ledger_copy(std::string_view gateway);  // sluice:1:copy:NAME
std::string status(std::string_view gateway, std::string_view source, std::string_view ns,
                   std::string_view name);  // sluice:1:status:GATEWAY:SOURCE:NAMESPACE/NAME
std::string status_prefix(std::string_view gateway);  // sluice:1:status:GATEWAY:
std::string status_stream(std::string_view source);   // sluice:1:statuses:SOURCE
std::string count_field(v1::Kind kind);               // "count:Service"

std::optional<ObjectKey> parse_object(std::string_view key);
std::optional<ObjectKey> parse_object(std::string_view source, std::string_view kind,
                                      std::string_view object_name);
// Decimal digits only, no overflow.
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace sluice::store::keys

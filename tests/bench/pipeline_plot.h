// The results as a picture: cycles per packet of an established flow over the number of flows.
// Thread: one. Pure. Shapes: an SVG document; one line for each mode and family, IPv6 dashed; the
// reference as a grey line.
#pragma once

#include <string>
#include <vector>

#include "pipeline_results.h"

namespace sluice::bench {

std::string to_svg(const std::vector<Measured>& all);

}  // namespace sluice::bench

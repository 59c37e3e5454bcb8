// The likely cause of a difference in words: what could make two sides differ that a bridge keeps
// identical, by which side has what. Pure.
#pragma once

#include <string>

#include "bridge/verify/report.h"
#include "state/model/phase.h"

namespace switchback {

std::string likely_cause(Side primary, DifferenceSort sort);

}  // namespace switchback

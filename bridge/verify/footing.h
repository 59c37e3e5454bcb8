// How everything stands that could change rows past what logs changes: fences, capture, tables.
// A comparison holds for as long as none of it moves. Pure but for `footing_of`.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "bridge/site.h"

namespace switchback {

/// What it is, as it is called in messages, and how it stands, for comparing only.
using Footing = std::map<std::string, std::string>;

/// Of both sides. Throws what a side throws that is not there.
Footing footing_of(const Site& site);

/// The first that is not as it was, in words; empty if all is. Only what `counts` is looked at.
std::string what_moved(
    const Footing& before, const Footing& now,
    const std::function<bool(const std::string&)>& counts = [](const auto&) { return true; });

}  // namespace switchback

// The one pump: source -> sink -> acknowledge, in both directions. Its one thread alone touches the
// source and the sink. The durable order of the whole project is written here once: apply, make
// durable, record the position, acknowledge.
#pragma once

namespace switchback {}

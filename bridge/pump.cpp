#include "bridge/pump.h"

#include "watchers/sqlite/spelling.h"

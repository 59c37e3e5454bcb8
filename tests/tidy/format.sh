#!/usr/bin/env bash
# clang-format says what it would change. Skipped (77) where there is none.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v clang-format > /dev/null || exit 77
{ git -c safe.directory="$(pwd)" ls-files -co --exclude-standard -- '*.cpp' '*.h' 2> /dev/null ||
  find state watchers replication bridge tests \( -name '*.cpp' -o -name '*.h' \); } |
  xargs -r clang-format --dry-run -Werror

#!/usr/bin/env bash
# Install the system packages that pip cannot bring, where that is allowed.
#
#   scripts/system_packages.sh run  PYTHON   what opencv-python needs
#   scripts/system_packages.sh test PYTHON   that, a Chromium, a PostgreSQL and nginx
#
# Allowed means: Debian or Ubuntu, and root. Elsewhere what is there is used; what is
# missing and cannot be done without ends in one sentence.
set -euo pipefail

purpose=$1
python=$2

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install() {
  echo "Installing $* …"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 ||
    { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@" >/dev/null; }
}

need() { echo "$1" >&2; exit 1; }

if ! "$python" -c "import cv2" 2>/dev/null; then
  can_install && install libgl1 libglib2.0-0
  "$python" -c "import cv2" 2>/dev/null ||
    need "opencv-python does not load: install libGL and glib first (Debian and Ubuntu: sudo apt-get install libgl1 libglib2.0-0)."
fi
[ "$purpose" = test ] || exit 0

has_chromium() { command -v chromium chromium-browser google-chrome >/dev/null || [ -n "${IMAGEBASE_TEST_CHROMIUM:-}" ]; }
if ! has_chromium; then
  can_install && install chromium fonts-dejavu-core
  has_chromium ||
    need "The browser tests need Chromium: install it (Debian: sudo apt-get install chromium) or set IMAGEBASE_TEST_CHROMIUM to its path."
fi

# Without a PostgreSQL the store's tests run on SQLite alone, and say so.
if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && can_install; then
  install postgresql || echo "No PostgreSQL could be installed: its tests will be skipped."
fi

# Without nginx the tests of the log-in behind TLS are skipped, and say so.
if ! PATH=$PATH:/usr/sbin command -v nginx >/dev/null && can_install; then
  install nginx-light || echo "No nginx could be installed: its tests will be skipped."
fi

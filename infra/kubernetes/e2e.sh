#!/usr/bin/env bash
# A rollout, and its end, on whatever cluster the current context names:
#
#   infra/kubernetes/e2e.sh --dry-run=server --version 3            ask the server, change nothing
#   infra/kubernetes/e2e.sh --yes --overlay dev --version 3         apply, roll out, abort, clean up
#
# It needs the overlay's images in a registry that the cluster reads, the secrets of README.md, and a
# version that is approved in MLflow. It ends the rollout that it starts. It takes away what it applied
# only where nothing of Weir was there before; predictors that somebody else made stay.
set -euo pipefail

readonly NAMESPACE=weir
readonly OLDEST_KSERVE=0.21
readonly REQUESTS=200
readonly POOLS=(weir-text weir-media)
readonly DEPLOYMENTS=(weir-tracking weir-approval weir-controller weir-metrics weir-alert-receiver
  weir-incidents weir-appeals weir-status-page)
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly HERE

overlay=dev version='' dry_run='' yes='' keep='' timeout_seconds=1800
scratch=''
forwarding=''
started=''
fresh=''

usage() {
  sed -n '2,9p' "${BASH_SOURCE[0]}" | cut -c3-
  printf '\nOptions: --overlay NAME (%s)  --version V  --timeout SECONDS  --keep  --yes  --dry-run=server\n' \
    "$(cd "$HERE/overlays" && printf '%s ' *)"
}

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }

refuse() {
  printf 'e2e: %s\n' "$*" >&2
  exit 2
}

read_options() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --overlay) overlay="${2:?--overlay needs a name}"; shift ;;
      --version) version="${2:?--version needs a number}"; shift ;;
      --timeout) timeout_seconds="${2:?--timeout needs seconds}"; shift ;;
      --dry-run=server) dry_run=--dry-run=server ;;
      --yes) yes=yes ;;
      --keep) keep=keep ;;
      --help | -h) usage; exit 0 ;;
      *) usage >&2; refuse "unknown option $1" ;;
    esac
    shift
  done
  [[ "$overlay" =~ ^[a-z-]+$ && -d "$HERE/overlays/$overlay" ]] || refuse "no overlay $overlay"
  [[ "$version" =~ ^[1-9][0-9]{0,8}$ ]] || refuse "--version '$version' is no registry number"
  [[ "$timeout_seconds" =~ ^[1-9][0-9]*$ ]] || refuse "--timeout '$timeout_seconds' is no number"
  [ "$overlay" != knative ] || refuse 'the overlay knative has no controller: nothing to roll out by'
}

in_namespace() { kubectl --namespace "$NAMESPACE" "$@"; }

# Everything that can be wrong is said before anything is changed.
preflight() {
  command -v kubectl >/dev/null || refuse 'kubectl is not on PATH'
  local context
  context="$(kubectl config current-context)" || refuse 'no current context; see KUBECONFIG'
  say "context $context, overlay $overlay, version $version"
  kubectl api-versions --request-timeout=20s >/dev/null || refuse "context $context does not answer"
  local crd
  for crd in inferenceservices.serving.kserve.io servingruntimes.serving.kserve.io \
    clusterstoragecontainers.serving.kserve.io gateways.gateway.networking.k8s.io \
    httproutes.gateway.networking.k8s.io envoyproxies.gateway.envoyproxy.io; do
    kubectl get crd "$crd" >/dev/null 2>&1 || refuse "CRD $crd is missing; see README.md"
  done
  # the field came with the version, and every way of installing KServe installs its CRD
  kubectl get crd inferenceservices.serving.kserve.io --output=jsonpath='{.spec.versions[?(@.name=="v1beta1")].schema.openAPIV3Schema.properties.spec.properties.canary.type}' \
    | grep -qx array || refuse "KServe is older than $OLDEST_KSERVE: its CRD has no spec.canary"
  check_kserve_version
  kubectl get gatewayclass envoy-gateway >/dev/null 2>&1 \
    || refuse 'no GatewayClass envoy-gateway; install Envoy Gateway, see README.md'
  kubectl get namespace monitoring >/dev/null 2>&1 \
    || refuse 'no namespace monitoring, for what Prometheus, Alertmanager and Grafana read; see README.md'
  check_secrets
  [ -n "$dry_run$yes" ] || refuse "nothing was changed; --yes applies to context $context"
}

check_kserve_version() {
  local image
  image="$(kubectl --namespace kserve get deployment kserve-controller-manager \
    --output=jsonpath='{.spec.template.spec.containers[?(@.name=="manager")].image}' 2>/dev/null)" \
    || { say 'KServe runs in another namespace than kserve: its version is taken from its CRD'; return; }
  local found="${image##*:}"
  found="${found#v}"
  [ "$(printf '%s\n%s\n' "$OLDEST_KSERVE" "$found" | sort --version-sort | head -n 1)" = "$OLDEST_KSERVE" ] \
    || refuse "KServe $found is older than $OLDEST_KSERVE, which has canaries in Standard mode"
}

# Names and keys are those of the README's table.
# shellcheck disable=SC2016  # backticks of Markdown
check_secrets() {
  local name
  while IFS= read -r name; do
    kubectl --namespace "$NAMESPACE" get secret "$name" >/dev/null 2>&1 \
      || { [ -n "$dry_run" ] && say "secret $name is missing"; } \
      || refuse "secret $name is missing in namespace $NAMESPACE; see README.md, Secrets"
  done < <(sed -n 's/^| `\(weir-[a-z]*\)` | `.*/\1/p' "$HERE/README.md" | grep -vx weir-airflow)
}

# Whether anything of Weir is here already; then it stays.
look_around() {
  [ -n "$(in_namespace get inferenceservice,deployment --selector=app.kubernetes.io/part-of=weir --output=name 2>/dev/null)" ] \
    || fresh=fresh
  if [ -n "$fresh" ]; then say 'a fresh install'; else say 'Weir is here already: it stays'; fi
}

render() {
  kubectl kustomize --load-restrictor LoadRestrictionsNone "$HERE/overlays/$overlay" >"$scratch/objects.yaml"
  say "$(grep -c '^kind:' "$scratch/objects.yaml") objects rendered"
}

apply_objects() {
  # the namespace first: a server-side dry run of what is in it needs it to be there
  kubectl apply --server-side --field-manager=weir-files ${dry_run:+"$dry_run"} \
    --filename "$HERE/base/cluster/namespace.yaml"
  kubectl apply --server-side --field-manager=weir-files ${dry_run:+"$dry_run"} \
    --validate=strict --filename "$scratch/objects.yaml"
}

# An InferenceService that never held a model has no pods to fail until it does.
leave_vacant() {
  local pool held
  for pool in "${POOLS[@]}"; do
    held="$(in_namespace get inferenceservice "$pool" --output=jsonpath='{.spec.predictor.model.storageUri}')"
    [ -n "$held" ] || in_namespace patch inferenceservice "$pool" --type=merge \
      --patch '{"spec":{"predictor":{"minReplicas":0}}}'
  done
}

wait_ready() {
  local name
  for name in "${DEPLOYMENTS[@]}"; do
    in_namespace rollout status "deployment/$name" --timeout="${timeout_seconds}s"
  done
  in_namespace wait gateway/weir --for=condition=Programmed --timeout="${timeout_seconds}s"
}

# The platform's own command line, in the controller's pod: an argument list, no shell.
weir() { in_namespace exec deployment/weir-controller --container=controller -- python -m "$@"; }

start_rollout() {
  weir training approval --version="$version"
  weir serving rollout start --version="$version"
  started=yes
}

forward_gateway() {
  local service
  service="$(in_namespace get service --selector=gateway.envoyproxy.io/owning-gateway-name=weir --output=jsonpath='{.items[0].metadata.name}')"
  in_namespace port-forward "service/$service" :80 >"$scratch/forward.log" 2>&1 &
  forwarding=$!
  local attempt
  for attempt in $(seq 1 50); do
    grep -q 'Forwarding from 127.0.0.1' "$scratch/forward.log" && return
    [ "$attempt" -lt 50 ] && sleep 0.2
  done
  refuse "the gateway cannot be reached: $(cat "$scratch/forward.log")"
}

# Messages of our own, so that nobody's text is used; every answer but 200 is counted and shown.
send_requests() {
  local port token number status failed=0
  port="$(sed -n 's/.*127\.0\.0\.1:\([0-9]*\).*/\1/p' "$scratch/forward.log" | head -n 1)"
  token="$(in_namespace get secret weir-serving --output=jsonpath='{.data.tokens}' | base64 --decode | cut -d, -f1)"
  (umask 077 && printf 'header = "Authorization: Bearer %s"\n' "$token" >"$scratch/curl.conf")
  for number in $(seq 1 "$REQUESTS"); do
    status="$(printf '{"instances":[{"event_id":"e2e-%s","text":"Hello, number %s"}]}' "$number" "$number" \
      | curl --silent --config "$scratch/curl.conf" --max-time 30 --output /dev/null \
        --write-out '%{http_code}' --header 'Content-Type: application/json' --data @- \
        "http://127.0.0.1:$port/v1/models/spam:predict")" || true
    [ "$status" = 200 ] || { failed=$((failed + 1)); say "request $number: status $status"; }
  done
  say "$REQUESTS requests, $failed failed"
  [ "$failed" -eq 0 ]
}

phase() {
  weir serving rollout status | sed -n 's/^ *"state": "\([a-z_]*\)".*/\1/p' | head -n 1
}

wait_for_phase() {
  local wanted="$1" now='' deadline=$((SECONDS + timeout_seconds))
  while [ "$SECONDS" -lt "$deadline" ]; do
    now="$(phase)"
    say "rollout of version $version: $now"
    [[ "$now" =~ ^($wanted)$ ]] && return
    sleep 10
  done
  printf 'e2e: still %s after %s s\n' "$now" "$timeout_seconds" >&2
  return 1
}

# The first champion of all goes straight to full: then there is nothing to end.
end_rollout() {
  if [ "$(phase)" = 'done' ]; then
    say "version $version is the champion"
  else
    weir serving rollout abort
    wait_for_phase 'aborted|rolled_back'
  fi
  started=''
}

clean_up() {
  local code=$?
  [ -z "$forwarding" ] || kill "$forwarding" 2>/dev/null || true
  if [ -n "$started" ] && [ "$code" -ne 0 ]; then
    say 'ending the rollout'
    weir serving rollout abort || true
  fi
  [ -z "$scratch" ] || rm -rf "$scratch"
  exit "$code"
}

remove_objects() {
  [ -n "$fresh" ] && [ -z "$keep" ] || return 0
  say 'removing what was applied; volumes and the namespace stay'
  in_namespace delete httproute weir-predictions --ignore-not-found
  in_namespace delete inferenceservice "${POOLS[@]}" --ignore-not-found
  in_namespace delete deployment "${DEPLOYMENTS[@]}" --ignore-not-found
  in_namespace delete gateway weir --ignore-not-found
}

main() {
  read_options "$@"
  scratch="$(mktemp -d)"
  trap clean_up EXIT
  preflight
  look_around
  render
  apply_objects
  if [ -n "$dry_run" ]; then
    say 'the server would take it; nothing was changed'
    return
  fi
  leave_vacant
  wait_ready
  start_rollout
  wait_for_phase 'shadow|canary|full|done'
  forward_gateway
  send_requests
  end_rollout
  remove_objects
  say 'done'
}

main "$@"

# Sourced by `run`: a container engine, and in it an image of the installed mosquitto. Sets HIL_BROKER_IMAGE; where there is no
# engine and none can be started, sets no_engine to the reason. One that is started here ends with the script.
no_engine=

end_engine() {
  kill "$engine_pid" 2>/dev/null || true
  wait "$engine_pid" 2>/dev/null || true
  rm -rf "$engine_dir"
}

start_engine() {
  if [ "$(id -u)" != 0 ]; then
    no_engine='no container engine answers, and only root can start one'
    return
  fi
  if ! command -v dockerd >/dev/null || ! command -v docker >/dev/null || ! command -v iptables >/dev/null; then
    local packages=(docker.io iptables)
    # The command is a package of its own in later releases.
    if apt-cache show docker-cli >/dev/null 2>&1; then packages+=(docker-cli); fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null || {
      no_engine='no container engine answers, and docker.io cannot be installed'
      return
    }
    # Where packages may start services.
    if docker version >/dev/null 2>&1; then return; fi
  fi
  # The name of a socket is at most 107 bytes long.
  engine_dir=$(mktemp -d /tmp/hil-engine-XXXXXX)
  setsid dockerd --data-root "$engine_dir/data" --exec-root "$engine_dir/run" --pidfile "$engine_dir/pid" \
    --host "unix://$engine_dir/docker.sock" >"$engine_dir/log" 2>&1 &
  engine_pid=$!
  trap end_engine EXIT
  export DOCKER_HOST="unix://$engine_dir/docker.sock"
  local tries=0
  until docker version >/dev/null 2>&1; do
    tries=$((tries + 1))
    if [ "$tries" = 60 ] || ! kill -0 "$engine_pid" 2>/dev/null; then
      no_engine="dockerd does not start: $(tail -n 1 "$engine_dir/log")"
      unset DOCKER_HOST
      return
    fi
    sleep 0.5
  done
}

docker version >/dev/null 2>&1 || start_engine
if [ -z "$no_engine" ]; then
  hil/hub-broker/image hil-mosquitto
  # An engine that answers may still be one that can start nothing here, in a sandbox for example.
  why=$(timeout 60 docker run --rm --publish 127.0.0.2::8883 --entrypoint /bin/sh hil-mosquitto -c true 2>&1) ||
    no_engine="the container engine starts no container: $(printf '%s' "$why" | tail -n 1)"
fi
if [ -z "$no_engine" ]; then
  export HIL_BROKER_IMAGE=hil-mosquitto
  echo "docker $(docker version --format '{{.Server.Version}}'), image $HIL_BROKER_IMAGE"
else
  unset HIL_BROKER_IMAGE
  echo "skipped: the broker in a container: $no_engine"
fi

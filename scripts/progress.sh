# progress TITLE LOG COMMAND...: runs COMMAND with its output in LOG and shows that it is alive: on a
# terminal the last line of the log as it changes, elsewhere a line every 15 seconds.
# Fails as COMMAND fails, after printing the end of LOG.
progress() {
  local title=$1 log=$2 start=$SECONDS shown=$SECONDS pid code=0
  shift 2
  printf '%s' "$title ..."
  [ -t 1 ] || printf '\n'
  "$@" >"$log" 2>&1 </dev/null &
  pid=$!
  while kill -0 $pid 2>/dev/null; do
    sleep 0.3
    if [ -t 1 ]; then
      printf '\r\033[K%s ... %ds  %s' "$title" $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-60)"
    elif [ $((SECONDS - shown)) -ge 15 ]; then
      shown=$SECONDS
      printf '  %ds  %s\n' $((SECONDS - start)) "$(tail -n 1 "$log" | tr -d '\r' | cut -c 1-90)"
    fi
  done
  wait $pid || code=$?
  [ -t 1 ] && printf '\r\033[K'
  if [ $code != 0 ]; then
    printf '%s: failed after %ds; the end of %s:\n' "$title" $((SECONDS - start)) "$log"
    tail -n 40 "$log"
    return $code
  fi
  printf '%s: done in %ds\n' "$title" $((SECONDS - start))
}

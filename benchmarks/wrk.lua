-- Sends one request again and again: the file args[1], of the type args[2], with the
-- headers that follow, each a name and a value.
-- Ends with one line of JSON, which benchmarks/load.py reads.

function init(args)
  local file = assert(io.open(args[1], "rb"))
  wrk.method = "POST"
  wrk.body = file:read("*a")
  wrk.headers["Content-Type"] = args[2]
  file:close()
  for i = 3, #args - 1, 2 do
    wrk.headers[args[i]] = args[i + 1]
  end
end

function done(summary, latency, requests)
  local e = summary.errors
  print(string.format(
    '{"calls": %d, "seconds": %f, "p50": %f, "p99": %f, "wrong": %d, "lost": %d}',
    summary.requests, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.status, e.connect + e.read + e.write + e.timeout))
end

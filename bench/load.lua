-- GETs of paths at random, as fast as the answers come; the last line it prints is JSON for bench/wrk.py.
-- Called with a file of paths, a line each, and the API key to send, if any.
local requests = {}

function init(args)
   if args[2] then wrk.headers["X-Api-Key"] = args[2] end
   for path in io.lines(args[1]) do requests[#requests + 1] = wrk.format("GET", path) end
   math.randomseed(os.time())
end

function request()
   return requests[math.random(#requests)]
end

function done(summary, latency)
   local e = summary.errors
   io.write(string.format(
      '{"answers": %d, "seconds": %f, "p50": %f, "p99": %f, "refused": %d, "broken": %d}\n',
      summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
      e.status, e.connect + e.read + e.write + e.timeout))
end

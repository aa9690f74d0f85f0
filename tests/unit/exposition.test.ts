import { test } from "node:test";
import assert from "node:assert/strict";
import { CONTENT_TYPES, expose } from "../../src/status/exposition.ts";
import type { MetricFamily } from "../../src/status/metric.ts";
import { negotiate } from "../../src/status/negotiate.ts";

const families: readonly MetricFamily[] = [
  {
    name: "stud_connections_accepted_total",
    type: "counter",
    help: "Connections.",
    created: 1700000000.5,
    samples: [
      { labels: { frontend: "[*]:443" }, value: 3 },
      { labels: { frontend: "other" }, value: 2 ** 70 },
    ],
  },
  {
    name: "stud_handshake_seconds",
    type: "histogram",
    help: "Time.",
    bounds: [0.005, 1, 1e6],
    samples: [{ labels: { a: "b" }, counts: [1, 0, 2, 4], sum: 0.25 }],
  },
  {
    name: "stud_build_info",
    type: "gauge",
    help: "The build.",
    samples: [{ labels: { version: "1.0" }, value: 1 }],
  },
  { name: "stud_resident_memory_bytes", type: "gauge", help: "Memory.", samples: [] },
  {
    name: "stud_client_bytes_total",
    type: "counter",
    help: "Bytes.",
    samples: [{ labels: {}, value: Infinity }],
  },
];

test("Prometheus' text format 0.0.4", () => {
  assert.equal(
    expose(families, "text"),
    `# HELP stud_connections_accepted_total Connections.
# TYPE stud_connections_accepted_total counter
stud_connections_accepted_total{frontend="[*]:443"} 3
stud_connections_accepted_total{frontend="other"} 1.1805916207174113e+21
# HELP stud_handshake_seconds Time.
# TYPE stud_handshake_seconds histogram
stud_handshake_seconds_bucket{a="b",le="0.005"} 1
stud_handshake_seconds_bucket{a="b",le="1"} 1
stud_handshake_seconds_bucket{a="b",le="1e+06"} 3
stud_handshake_seconds_bucket{a="b",le="+Inf"} 7
stud_handshake_seconds_sum{a="b"} 0.25
stud_handshake_seconds_count{a="b"} 7
# HELP stud_build_info The build.
# TYPE stud_build_info gauge
stud_build_info{version="1.0"} 1
# HELP stud_client_bytes_total Bytes.
# TYPE stud_client_bytes_total counter
stud_client_bytes_total +Inf
`,
  );
});

test("OpenMetrics 1.0", () => {
  assert.equal(
    expose(families, "openmetrics"),
    `# TYPE stud_connections_accepted counter
# HELP stud_connections_accepted Connections.
stud_connections_accepted_total{frontend="[*]:443"} 3
stud_connections_accepted_created{frontend="[*]:443"} 1700000000.5
stud_connections_accepted_total{frontend="other"} 1.1805916207174113e+21
stud_connections_accepted_created{frontend="other"} 1700000000.5
# TYPE stud_handshake_seconds histogram
# UNIT stud_handshake_seconds seconds
# HELP stud_handshake_seconds Time.
stud_handshake_seconds_bucket{a="b",le="0.005"} 1
stud_handshake_seconds_bucket{a="b",le="1.0"} 1
stud_handshake_seconds_bucket{a="b",le="1e+06"} 3
stud_handshake_seconds_bucket{a="b",le="+Inf"} 7
stud_handshake_seconds_sum{a="b"} 0.25
stud_handshake_seconds_count{a="b"} 7
# TYPE stud_build info
# HELP stud_build The build.
stud_build_info{version="1.0"} 1
# TYPE stud_client_bytes counter
# UNIT stud_client_bytes bytes
# HELP stud_client_bytes Bytes.
stud_client_bytes_total +Inf
# EOF
`,
  );
  assert.equal(expose([], "openmetrics"), "# EOF\n");
  assert.equal(expose([], "text"), "");
});

test("label values and help texts are escaped as each format requires", () => {
  const family: MetricFamily = {
    name: "stud_x",
    type: "gauge",
    help: 'a "b" \\ c\nd',
    samples: [{ labels: { place: '/etc/"a"\\b\nc\u00fc\r' }, value: NaN }],
  };
  const sample = 'stud_x{place="/etc/\\"a\\"\\\\b\\nc\u00fc\r"} NaN\n';
  assert.equal(
    expose([family], "text"),
    `# HELP stud_x a "b" \\\\ c\\nd\n# TYPE stud_x gauge\n${sample}`,
  );
  assert.equal(
    expose([family], "openmetrics"),
    `# TYPE stud_x gauge\n# HELP stud_x a \\"b\\" \\\\ c\\nd\n${sample}# EOF\n`,
  );
});

test("the format is negotiated by type, version and weight", () => {
  const openmetrics = "application/openmetrics-text";
  const cases: readonly [string | undefined, "text" | "openmetrics"][] = [
    [undefined, "text"],
    ["", "text"],
    ["*/*", "text"],
    ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "text"],
    ["text/plain", "text"],
    ["text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text"],
    [openmetrics, "openmetrics"],
    [`${openmetrics}; version=1.0.0; charset=utf-8`, "openmetrics"],
    [`${openmetrics};version="1.0.0"`, "openmetrics"],
    [openmetrics.toUpperCase(), "openmetrics"],
    [`${openmetrics};version=2.0.0`, "text"],
    [`${openmetrics};q=0`, "text"],
    [`${openmetrics};q=0.5, text/plain;q=0.4`, "openmetrics"],
    [`${openmetrics};q=0.4, text/plain;q=0.5`, "text"],
    [`${openmetrics};q=0.4, */*`, "text"],
    [`${openmetrics};q=0.4, */*;q=0.4`, "openmetrics"],
    [`${openmetrics};q=0.3, text/plain;q=0.2, */*;q=0.9`, "openmetrics"],
    [`${openmetrics};q=0.3, text/*;q=0.2, */*;q=0.9`, "openmetrics"],
    [`${openmetrics};q=2, text/plain;q=0.1`, "text"],
    [`${openmetrics};q=, text/plain;q=0.1`, "text"],
    ["application/*", "text"],
    ["application/json", "text"],
    [";;,,;q=1", "text"],
    // Prometheus 2 and 3.
    [
      `${openmetrics};version=1.0.0,${openmetrics};version=0.0.1;q=0.75,` +
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
      "openmetrics",
    ],
    [
      `${openmetrics};version=1.0.0;escaping=allow-utf-8;q=0.5,${openmetrics};version=0.0.1;q=0.4,` +
      "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2," +
      "/;q=0.1",
      "openmetrics",
    ],
  ];
  for (const [accept, format] of cases) assert.equal(negotiate(accept), format, accept ?? "none");
});

test("the content type names the format's version and charset", () => {
  assert.deepEqual(CONTENT_TYPES, {
    text: "text/plain; version=0.0.4; charset=utf-8",
    openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
  });
});

/** The Prometheus rules and the Grafana dashboard in contrib/. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connectionFamilies } from "../../src/connection/counters.ts";
import { MASTER_FAMILIES } from "../../src/master/counters.ts";
import { documentedMetrics } from "../../src/master/metrics.ts";
import { isInstalled } from "../support/commands.ts";
import { namedIn, withoutVariables } from "../support/promql.ts";
import { temporaryDirectory } from "../support/system.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const prometheus = join(root, "contrib", "prometheus");
// Under CI it has to be there.
const skip = process.env.CI !== "true" && !isInstalled("promtool") && "not installed: promtool";

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; h: number };
  readonly datasource?: { readonly uid: string };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const dashboard = JSON.parse(read("contrib/grafana/stud.json")) as {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; query: unknown }[] };
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
};
const rules = read("contrib/prometheus/stud.rules.yml");
const ruleTests = read("contrib/prometheus/stud.rules.test.yml");

/** The expressions of the dashboard, and of the rules with their folded lines joined. */
const shown = [
  ...dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
  ...dashboard.annotations.list.map(({ expr }) => expr),
];
const alerting = [...rules.matchAll(/^ +expr: (?:>-\n((?: {10}.*\n)+)|(.*)\n)/gm)]
  .map(([, folded, plain]) => (folded ?? plain!).trim().replaceAll(/\n */g, " "));

function read(path: string): string {
  return readFileSync(join(root, path), "utf8");
}

function promtool(...words: string[]) {
  const { status, stdout, stderr } = spawnSync("promtool", words, {
    encoding: "utf8",
    cwd: prometheus,
    timeout: 120_000,
  });
  return { status, output: `${stdout}${stderr}` };
}

test("promtool finds the rules and the scrape configuration valid", { skip }, () => {
  const checked = promtool("check", "rules", "stud.rules.yml");
  assert.equal(checked.status, 0, checked.output);
  assert.match(checked.output, new RegExp(`SUCCESS: ${alerting.length} rules found`));
  const directory = temporaryDirectory();
  for (const name of ["prometheus.yml", "stud.rules.yml"]) {
    writeFileSync(join(directory, name), readFileSync(join(prometheus, name)));
  }
  writeFileSync(join(directory, "stud.token"), "0123456789abcdef");
  const config = promtool("check", "config", join(directory, "prometheus.yml"));
  assert.equal(config.status, 0, config.output);
});

test("promtool passes the unit tests of the rules", { skip, timeout: 120_000 }, () => {
  const { status, output } = promtool("test", "rules", "stud.rules.test.yml");
  assert.equal(status, 0, output);
});

test("each alert has a test, a severity, texts, and a runbook in the documentation", () => {
  const headings = read("docs/monitoring.md").matchAll(/^#+ (.+)$/gm);
  const anchors = [...headings].map(([, title]) =>
    title!.toLowerCase().replaceAll(" ", "-").replaceAll(/[^\w-]/g, "")
  );
  const alerts = rules.split(/^ +- alert: /m).slice(1);
  assert.equal(alerts.length, alerting.length);
  for (const alert of alerts) {
    const name = alert.split("\n")[0]!;
    assert.match(alert, /^ +severity: (critical|warning)$/m, name);
    assert.match(alert, /^ +summary: ".*\{\{ \$labels\.instance \}\}/m, name);
    assert.match(alert, /^ +description: ".+"$/m, name);
    const runbook = /^ +runbook_url: docs\/monitoring\.md#(\S+)$/m.exec(alert)?.[1];
    assert.ok(runbook && anchors.includes(runbook), `${name}: ${runbook}`);
    const fires = new RegExp(`alertname: ${name}\\n +eval_time: \\S+\\n +exp_alerts:`);
    assert.match(ruleTests, fires, name);
  }
});

test("rules and dashboard name only declared metrics, labels and values", () => {
  const declared = new Map(documentedMetrics().map((metric) => [metric.name, metric]));
  const values = new Map<string, readonly string[]>(
    [...MASTER_FAMILIES, ...connectionFamilies({ frontends: [], alpn: [] })].flatMap(
      ({ name, labels }) =>
        Object.entries(labels).map(([label, each]) => [`stud_${name} ${label}`, each] as const),
    ),
  );
  /** Prometheus' own labels of each target. */
  const ofTarget = ["job", "instance"];
  const familyOf = (name: string) =>
    declared.get(name) ?? declared.get(name.replace(/_(bucket|sum|count)$/, ""));
  assert.ok(shown.length > 30 && alerting.length > 10, "found the expressions");
  for (const expression of [...shown, ...alerting]) {
    const { metrics, matchers, grouping } = namedIn(expression);
    for (const name of metrics) {
      const family = familyOf(name);
      assert.ok(family, `${name} in ${expression}`);
      assert.equal(family.name === name, family.type !== "histogram", `${name} in ${expression}`);
    }
    for (const { metric, label, value } of matchers) {
      if (ofTarget.includes(label)) continue;
      const { labels } = familyOf(metric)!;
      assert.ok(Object.hasOwn(labels, label), `${metric} has no label ${label}: ${expression}`);
      const known = values.get(`${metric} ${label}`) ??
        [...labels[label]!.matchAll(/`([^`]*)`/g)].map(([, word]) => word!);
      for (const each of value.split("|")) {
        assert.ok(known.includes(each), `${each}: ${expression}`);
      }
    }
    const labels = metrics.flatMap((name) => Object.keys(familyOf(name)!.labels));
    for (const label of grouping) {
      assert.ok([...ofTarget, "le", ...labels].includes(label), `${label} in ${expression}`);
    }
  }
});

test("legends of the dashboard name labels that their expressions have", () => {
  const declared = new Map(documentedMetrics().map((metric) => [metric.name, metric]));
  for (const { title, targets = [] } of dashboard.panels) {
    for (const { expr, legendFormat } of targets) {
      const { metrics, grouping } = namedIn(expr);
      const own = metrics.flatMap((name) => Object.keys(declared.get(name)?.labels ?? {}));
      const has = /\b(sum|min|max)\b/.test(expr) ? grouping : ["job", "instance", ...own];
      for (const [, label] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        assert.ok(has.includes(label!), `${title}: ${label}`);
      }
    }
  }
});

test("promtool parses every expression of the dashboard", { skip }, () => {
  const lines = shown.map((expression, i) =>
    `      - record: panel:${i}\n        expr: ${JSON.stringify(withoutVariables(expression))}\n`
  );
  const file = join(temporaryDirectory(), "dashboard.yml");
  writeFileSync(file, `groups:\n  - name: dashboard\n    rules:\n${lines.join("")}`);
  const { status, output } = promtool("check", "rules", file);
  assert.equal(status, 0, output);
  assert.match(output, new RegExp(`SUCCESS: ${shown.length} rules found`));
});

test("panels have ids and places of their own, the chosen data source and the variables", () => {
  const { panels, templating } = dashboard;
  assert.deepEqual(templating.list.map(({ name }) => name), ["datasource", "job", "instance"]);
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Map<string, string>();
  for (const { type, title, gridPos: { x, y, w, h }, datasource, targets = [] } of panels) {
    assert.ok(x >= 0 && w > 0 && h > 0 && x + w <= 24, title);
    for (let place = 0; place < w * h; place++) {
      const cell = `${x + place % w},${y + Math.floor(place / w)}`;
      assert.equal(taken.get(cell), undefined, `${title} covers a part of another panel`);
      taken.set(cell, title);
    }
    if (type === "row") continue;
    assert.equal(datasource?.uid, "${datasource}", title);
    assert.ok(targets.length > 0, title);
    for (const { expr } of targets) {
      for (const [selector] of expr.matchAll(/\b(?:stud_\w+|up)\b(?:\{[^}]*\})?/g)) {
        assert.match(selector, /\{job=~"\$job", instance=~"\$instance"/, title);
      }
    }
  }
});

test("problems come first", () => {
  const [row, ...others] = dashboard.panels;
  assert.deepEqual([row!.type, row!.title], ["row", "Problems"]);
  assert.ok(others[0]!.gridPos.y === 1);
});

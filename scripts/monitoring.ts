/** Refreshes the table of metrics in docs/monitoring.md, between its two marks. */
import { metricTable } from "./metric_table.ts";
import { replaceMarked } from "./marked.ts";

replaceMarked("docs/monitoring.md", "metrics", metricTable());

/** The live page's script: shows each status document that `/events` sends. */
import type { Status } from "../../../status/status.ts";
import { makeCharts } from "./charts.ts";
import { byId, setText } from "./dom.ts";
import { Feed } from "./feed.ts";
import { History } from "./history.ts";
import { makeSections } from "./sections.ts";
import { incompatible, makeSummary, showAge } from "./summary.ts";

const history = new History();
const summary = makeSummary();
const charts = makeCharts();
const sections = makeSections();
let last: Status | undefined;
let failure: string | undefined;
setText(byId("host"), location.host);

const feed = new Feed({
  open: () => new EventSource("/events"),
  now: () => performance.now(),
  onStatus(status) {
    attempt(() => {
      failure = incompatible(status);
      if (failure) return;
      history.add(Date.parse(status.time), status.metrics);
      last = status;
      // The charts of a page in the background go on, but nobody looks.
      if (!document.hidden) draw(status);
    });
  },
});

function draw(status: Status): void {
  summary(status);
  charts(history.points);
  for (const section of sections) section(status, history);
  document.body.classList.remove("waiting");
}

/** Shows why it failed, if so: what is shown may then be old. */
function attempt(action: () => void): void {
  try {
    action();
  } catch (error) {
    failure = `This page cannot show what stud sends: ${error}`;
  }
  showAge(feed, last, failure);
}

setInterval(() => {
  feed.tick();
  showAge(feed, last, failure);
}, 1_000);
addEventListener("online", () => feed.retry());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  feed.retry();
  attempt(() => last && draw(last));
});

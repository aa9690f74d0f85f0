/**
 * The live page: what the admin endpoint answers to `GET /` and to the paths that the page loads.
 * The page is static; everything it shows comes from `/events`.
 */
import { ICON, PAGE, SCRIPT, STYLE } from "./bundle.ts";

export interface PageFile {
  readonly type: string;
  readonly body: string;
}

/** By path. */
export const pageFiles: Readonly<Record<string, PageFile>> = {
  __proto__: null as never,
  "/": { type: "text/html; charset=utf-8", body: PAGE },
  "/page.css": { type: "text/css; charset=utf-8", body: STYLE },
  "/page.js": { type: "text/javascript; charset=utf-8", body: SCRIPT },
  "/icon.svg": { type: "image/svg+xml", body: ICON },
};

/**
 * Headers of all of them. Names and causes on the page come from strangers, so nothing inline runs,
 * and the browser refuses every assignment of text as markup (Trusted Types).
 */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  "Content-Security-Policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  // The page of the program that runs now, not the one of its predecessor.
  "Cache-Control": "no-store",
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Referrer-Policy": "no-referrer",
  "X-Content-Type-Options": "nosniff",
};

// A Chromium with a profile of its own, and what every page of it is watched for.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { until } from "./ask.mjs";

const { chromium } = createRequire(`${process.env.MODULES}/x.js`)("playwright-core");

export const server = process.env.WALGATE;

/** Longer than anything takes on a busy machine. */
const PATIENCE_MS = 120_000;

/** Opens a browser; `errors` has whatever a page has complained of, and requests to others. */
export async function open(viewport) {
  const profile = mkdtempSync(join(tmpdir(), "walgate-browser-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
      // What a container gives is too little.
      "--disable-dev-shm-usage",
    ],
    viewport,
    colorScheme: "light",
    timeout: PATIENCE_MS,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  const page = context.pages()[0] ?? (await context.newPage());
  // While Walgate is away a failed connection is no error of the page.
  const seen = { errors: [], isAway: false, addresses: [] };
  page.on("pageerror", (error) => seen.errors.push(`exception: ${error.message}`));
  page.on("console", (message) => {
    const isRefused = /ERR_|WebSocket connection|Failed to load resource/.test(message.text());
    if (message.type() === "error" && !(seen.isAway && isRefused)) seen.errors.push(message.text());
  });
  page.on("request", (request) => {
    seen.addresses.push(request.url());
    const { origin, protocol } = new URL(request.url());
    if (protocol !== "data:" && origin !== server) seen.errors.push(`a request to ${request.url()}`);
  });
  page.on("websocket", (socket) => {
    seen.addresses.push(socket.url());
    if (new URL(socket.url()).host !== new URL(server).host) seen.errors.push(`a WebSocket to ${socket.url()}`);
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
  };
  return { page, seen, close };
}

/** Waits until this page follows, with nothing missing. */
export const live = (page) =>
  until("the page is live", async () => (await page.textContent("#connection-text")) === "Live");

// Pages that stay true while they are open, and forms that answer while somebody types. Without this everything works, by reload.
"use strict";

(() => {
  const EVERY = 60000; // milliseconds after which times like "3 minutes ago" are told anew
  const POLL = 10000; // where no stream can be had
  const SOON = 3000; // in which a stream that ended, as each does after a minute, is there again
  const PATIENCE = 30000; // for a page; of a line that went dead nothing else tells
  const TYPING = 300;
  const WORDS = { live: "Live", paused: "Paused", trying: "Reconnecting" };
  const address = document.documentElement.dataset.live;
  let stream = null, timer = 0, asked = 0, under = false, again = false;

  // What the reader did to a page stays: what they opened, ticked, chose and typed.
  function isTheirs(name, node) {
    if (node.tagName === "DETAILS") return name === "open";
    if (node.tagName === "OPTION" || node.type === "checkbox" || node.type === "radio") return name === "selected" || name === "checked";
    return name === "value" && (node.tagName === "TEXTAREA" || (node.tagName === "INPUT" && node.type !== "hidden"));
  }
  const showCopies = () => document.querySelectorAll("button[data-copy]").forEach((button) => (button.hidden = false));
  function morph(from, to) {
    Idiomorph.morph(from, to, { callbacks: { beforeAttributeUpdated: (name, node) => !isTheirs(name, node) } });
    showCopies();
  }

  function say(state) {
    const line = document.getElementById("live");
    if (!line || line.dataset.state === state) return;
    line.dataset.state = state;
    line.textContent = WORDS[state];
  }

  // Show a page in place of this one, without moving what is the same.
  function show(html) {
    const page = new DOMParser().parseFromString(html, "text/html");
    const main = page.getElementById("main");
    if (!main || page.documentElement.dataset.live !== address) return location.reload();
    document.title = page.title;
    const icon = document.querySelector("link[rel=icon]"), other = page.querySelector("link[rel=icon]");
    if (icon && other && icon.getAttribute("href") !== other.getAttribute("href")) icon.replaceWith(other);
    morph(document.getElementById("main"), main);
  }

  async function refresh() {
    if (under) return void (again = true);
    under = true;
    asked = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "X-Refresh": "1" }, redirect: "manual", signal: AbortSignal.timeout(PATIENCE) });
      if (answer.type === "opaqueredirect" || answer.status === 404 || answer.status === 403) return location.reload();
      if (!answer.ok) return lose();
      show(await answer.text());
      say(document.hidden ? "paused" : stream ? "live" : "trying");
    } catch {
      lose();
    } finally {
      under = false;
      if (again) {
        again = false;
        setTimeout(refresh, 1000);
      }
    }
  }

  function listen() {
    if (stream || document.hidden) return;
    const mine = (stream = new EventSource(address));
    mine.addEventListener("open", () => say("live"));
    mine.addEventListener("changed", refresh);
    mine.addEventListener("error", () => {
      if (mine.readyState === EventSource.CLOSED) return lose(), refresh(); // signed out, or too many: the page knows
      setTimeout(() => mine === stream && mine.readyState !== EventSource.OPEN && say("trying"), SOON); // it tries by itself
    });
  }

  // No stream is to be had, or it leads nowhere: say so, and begin again.
  function lose() {
    if (stream) stream.close();
    stream = null;
    if (document.hidden) return;
    say("trying");
    setTimeout(listen, POLL);
  }

  function rest() {
    if (stream) stream.close();
    stream = null;
    say("paused");
  }

  function look() {
    const age = Date.now() - asked;
    if (!document.hidden && (age > EVERY || (!stream && age > POLL))) refresh();
  }

  if (address) {
    asked = Date.now();
    document.addEventListener("visibilitychange", () => (document.hidden ? rest() : (listen(), refresh())));
    window.addEventListener("pagehide", rest);
    window.addEventListener("pageshow", (event) => event.persisted && (listen(), refresh()));
    setInterval(look, 5000);
    listen();
  }

  // A form with data-follow shows, while somebody types, what it would answer: in the place of that id.
  let newest = 0;
  async function follow(form) {
    const mine = ++newest, data = new URLSearchParams(new FormData(form));
    const get = form.method !== "post", target = form.dataset.to || form.action;
    const asking = get ? fetch(`${target}?${data}`)
      : fetch(target, { method: "POST", body: data });
    try {
      const answer = await asking;
      if (mine !== newest || !(answer.ok || answer.status === 400)) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const part = page.getElementById(form.dataset.follow), here = document.getElementById(form.dataset.follow);
      if (part && here) morph(here, part);
      if (get) history.replaceState(null, "", answer.url);
    } catch {
      // The next key asks again; the button works in any case.
    }
  }
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-follow]");
    if (!form) return;
    clearTimeout(timer);
    timer = setTimeout(() => follow(form), TYPING);
  });

  // Buttons that copy what stands in the element of that id.
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button[data-copy]");
    if (!button) return;
    const source = document.getElementById(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(source.textContent.trim());
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      button.textContent = "Selected: press Ctrl C";
    }
  });
  showCopies();

  // Choices that send their form by themselves.
  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
})();

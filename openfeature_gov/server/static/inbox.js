"use strict";
// Everything here also works without: this only saves waiting and reloading.
(() => {
  const every = 1000;
  const live = () => document.getElementById("live");

  const span = (us) => {
    const seconds = Math.floor(Math.abs(us) / 1e6);
    let text = seconds + " s";
    for (const [size, unit] of [[86400, "days"], [3600, "hours"], [60, "min"]]) {
      if (seconds >= 2 * size) {
        text = Math.floor(seconds / size) + " " + unit;
        break;
      }
    }
    return us >= 0 ? "in " + text : text + " ago";
  };

  const count = () => {
    for (const one of document.querySelectorAll("time[data-us]")) {
      const left = Number(one.dataset.us) - Date.now() * 1000;
      const text = span(left);
      if (one.textContent !== text) one.textContent = text;
      one.classList.toggle("soon", left < 60e6);
    }
  };

  const reload = async () => {
    const answer = await fetch(location.href, { redirect: "error" });
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    const focused = document.activeElement && document.activeElement.id;
    live().replaceWith(fresh.getElementById("live"));
    document.title = fresh.title;
    count();
    const again = focused && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  };

  const look = async () => {
    const { revision, of = "", list } = live().dataset;
    const answer = await fetch("/revision?of=" + encodeURIComponent(of));
    if (answer.status === 401) location.reload();
    if (!answer.ok) return;
    if ((await answer.json()).revision === revision) return;
    if (list) await reload();
    else document.getElementById("stale").hidden = false;
  };

  const tick = async () => {
    count();
    if (live() && !document.hidden) await look().catch(() => {});
    setTimeout(tick, every);
  };

  document.addEventListener("submit", (event) => {
    // A second press would only be told that the first was faster.
    for (const one of event.target.querySelectorAll("button")) {
      setTimeout(() => { one.disabled = true; });
    }
  });
  tick();
})();

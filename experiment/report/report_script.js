
// Legend entries switch curves, and pointing shows values. Without this the pictures stand as they are.
// No less-than sign and no ampersand: the page is XML too.
"use strict";
for (const panel of document.querySelectorAll(".panel")) {
  const svg = panel.querySelector(":scope > svg");
  const numbers = JSON.parse(panel.dataset.numbers);
  const hidden = new Set();
  for (const entry of panel.querySelectorAll(".legend li")) {
    const curve = entry.dataset.curve;
    entry.tabIndex = 0;
    entry.setAttribute("role", "switch");
    entry.setAttribute("aria-checked", "true");
    const toggle = () => {
      const shown = hidden.delete(curve) || !hidden.add(curve);
      entry.setAttribute("aria-checked", shown);
      for (const part of svg.querySelectorAll('.curve[data-curve="' + curve + '"]'))
        part.style.display = shown ? "" : "none";
    };
    entry.addEventListener("click", toggle);
    entry.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" ? event.key !== " " : false) return;
      event.preventDefault();
      toggle();
    });
  }
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  panel.append(tip);
  const place = (axis, value) =>
    axis[0] + ((axis[4] ? Math.log10(value) : value) - axis[2]) / (axis[3] - axis[2]) * (axis[1] - axis[0]);
  const text = (value) => String(Number(value.toPrecision(5)));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    const y = (event.clientY - box.top) / box.height * svg.viewBox.baseVal.height;
    let nearest = null;
    numbers.curves.forEach((curve, number) => {
      if (hidden.has(String(number))) return;
      curve.x.forEach((at, i) => {
        const distance = Math.hypot(place(numbers.x, at) - x, place(numbers.y, curve.y[i]) - y);
        if (nearest === null || nearest.distance > distance) nearest = { distance, curve, i };
      });
    });
    tip.hidden = nearest === null || nearest.distance > 40;
    if (tip.hidden) return;
    const at = nearest.curve.x[nearest.i];
    tip.textContent = nearest.curve.label + ": " + text(nearest.curve.y[nearest.i]) + " at " + text(at);
    const left = event.clientX - panel.getBoundingClientRect().left;
    tip.style.left = Math.min(left + 12, Math.max(0, panel.clientWidth - tip.offsetWidth)) + "px";
    tip.style.top = event.clientY - panel.getBoundingClientRect().top + 14 + "px";
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}

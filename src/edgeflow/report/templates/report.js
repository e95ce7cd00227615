"use strict";
// Draws the charts that are in sight, places their labels, and shows a variant's figures on hover.
(() => {
  const figures = JSON.parse(document.getElementById("chart-data").textContent);
  const touch = matchMedia("(pointer: coarse)").matches;
  const options = {
    responsive: true,
    displaylogo: false,
    displayModeBar: false,
  };

  // --- hover: one box, filled from the hidden element of a variant ---------------------------------------------------
  const tip = document.getElementById("tip");

  function showTip(id, box) {
    const source = document.getElementById(id);
    tip.replaceChildren(...[...source.childNodes].map((node) => node.cloneNode(true)));
    tip.hidden = false;
    const own = tip.getBoundingClientRect();
    const [width, height] = [document.documentElement.clientWidth, innerHeight];
    const below = box.bottom + 8 + own.height <= height || box.top < own.height + 16;
    const top = below ? box.bottom + 8 : box.top - own.height - 8;
    const left = (box.left + box.right - own.width) / 2;
    tip.style.top = `${Math.max(8, Math.min(top, height - own.height - 8))}px`;
    tip.style.left = `${Math.max(8, Math.min(left, width - own.width - 8))}px`;
  }

  const hideTip = () => { tip.hidden = true; };

  const showCell = (cell) => showTip(cell.dataset.tip, cell.getBoundingClientRect());

  for (const cell of document.querySelectorAll("[data-tip]")) {
    cell.addEventListener("pointerenter", () => showCell(cell));
    cell.addEventListener("focus", () => showCell(cell));
    cell.addEventListener("pointerleave", hideTip);
    cell.addEventListener("blur", hideTip);
  }
  addEventListener("scroll", () => {
    // a cell that is scrolled into sight by the keyboard takes its figures with it
    const cell = document.querySelector("[data-tip]:focus, [data-tip]:hover");
    if (!tip.hidden && cell) showCell(cell);
    else hideTip();
  }, { passive: true, capture: true });
  addEventListener("keydown", (event) => { if (event.key === "Escape") hideTip(); });

  // --- labels: beside their points, on nothing else -------------------------------------------------------------------
  const LINE = 15; // px, height of a label
  const STEPS = [[1, 0], [-1, 0], [1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1], [0, 1]];

  const overlap = (a, b) =>
    Math.max(0, Math.min(a.right, b.right) - Math.max(a.left, b.left)) *
    Math.max(0, Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top));

  const pen = document.createElement("canvas").getContext("2d");

  function widthOf(text, font) {
    pen.font = `${font.size}px ${font.family}`;
    const plain = new DOMParser().parseFromString(text, "text/html").body.textContent;
    return pen.measureText(plain).width + 6;
  }

  // Everything a label must keep off, in pixels from the plot's upper left corner.
  function obstacles(chart, at) {
    const marks = at.map(([x, y]) => ({ left: x - 9, right: x + 9, top: y - 9, bottom: y + 9 }));
    const frame = chart.querySelector(".main-svg").getBoundingClientRect();
    const [left, top] = [frame.left + chart._fullLayout._size.l, frame.top + chart._fullLayout._size.t];
    const bars = [...chart.querySelectorAll(".xerror, .yerror")].map((bar) => {
      const box = bar.getBoundingClientRect();
      return { left: box.left - left, right: box.right - left, top: box.top - top, bottom: box.bottom - top };
    });
    return { marks, bars: [...bars, ...steps(chart)] };
  }

  // The horizontal and vertical pieces of the Pareto front, which is the first trace.
  function steps(chart) {
    const { xaxis, yaxis } = chart._fullLayout;
    const at = chart.data[0].x.map((x, i) => [xaxis.d2p(x), yaxis.d2p(chart.data[0].y[i])]);
    return at.slice(1).flatMap(([x, y], i) => [
      { left: at[i][0], right: x, top: at[i][1] - 1, bottom: at[i][1] + 1 },
      { left: x - 1, right: x + 1, top: y, bottom: at[i][1] },
    ]);
  }

  function place(chart) {
    const layout = chart._fullLayout;
    const labels = layout.meta.labels;
    const size = { width: layout._size.w, height: layout._size.h };
    const at = labels.map((label) => [layout.xaxis.d2p(label.x), layout.yaxis.d2p(label.y)]);
    const { marks, bars } = obstacles(chart, at);
    const placed = [];
    const annotations = labels.map((label, i) => {
      const [x, y] = at[i];
      const seen = x >= 0 && x <= size.width && y >= 0 && y <= size.height;
      const width = widthOf(label.text, layout.font);
      let best = null;
      for (const reach of [11, 18, 28, 42, 60, 84]) {
        for (const [dx, dy] of STEPS) {
          const cx = x + dx * (reach + width / 2);
          const cy = y + dy * (dx ? reach : reach + LINE / 2);
          const box = { left: cx - width / 2, right: cx + width / 2, top: cy - LINE / 2, bottom: cy + LINE / 2 };
          const outside = width * LINE - overlap(box, { left: 0, top: 0, right: size.width, bottom: size.height });
          const cost =
            50 * outside +
            20 * placed.reduce((sum, other) => sum + overlap(box, other), 0) +
            10 * marks.reduce((sum, other) => sum + overlap(box, other), 0) +
            0.5 * bars.reduce((sum, other) => sum + overlap(box, other), 0) +
            reach;
          if (best === null || cost < best.cost) best = { cost, box, cx, cy, reach };
        }
      }
      if (seen) placed.push(best.box);
      return {
        x: Math.log10(label.x), y: label.y, xref: "x", yref: "y", text: label.text, visible: seen,
        ax: best.cx - x, ay: best.cy - y, showarrow: true, arrowhead: 0, arrowwidth: 0.8,
        arrowcolor: best.reach > 11 ? "#9aa5b1" : "rgba(0,0,0,0)", standoff: 8,
        font: { color: label.color }, borderpad: 0, bgcolor: "rgba(255,255,255,0.75)",
      };
    });
    return Plotly.relayout(chart, { annotations });
  }

  function keepLabelled(chart) {
    let width = chart.clientWidth;
    let busy = false;
    const again = async () => {
      if (busy) return;
      busy = true;
      await place(chart);
      busy = false;
    };
    chart.on("plotly_relayout", (change) => {
      if (Object.keys(change).some((key) => /^[xy]axis|autosize/.test(key))) again();
    });
    new ResizeObserver(() => {
      if (chart.clientWidth === width || !chart.clientWidth) return;
      width = chart.clientWidth;
      requestAnimationFrame(async () => { await Plotly.Plots.resize(chart); again(); });
    }).observe(chart);
    return again();
  }

  // --- charts: drawn when first shown -----------------------------------------------------------------------------------
  async function draw(chart) {
    if (chart.dataset.drawn) return;
    chart.dataset.drawn = "yes";
    const { data, layout } = figures[chart.id];
    await Plotly.newPlot(chart, data, { ...layout, dragmode: touch ? false : "zoom" }, options);
    if (!chart.classList.contains("scatter")) return;
    chart.on("plotly_hover", (event) => {
      const point = event.points[0];
      if (!point.customdata) return;
      const frame = chart.getBoundingClientRect();
      const x = frame.left + point.xaxis._offset + point.xaxis.d2p(point.x);
      const y = frame.top + point.yaxis._offset + point.yaxis.d2p(point.y);
      showTip(`tip-${point.customdata}`, { left: x, right: x, top: y - 10, bottom: y + 10 });
    });
    chart.on("plotly_unhover", hideTip);
    await keepLabelled(chart);
  }

  function show(choice) {
    for (const panel of document.querySelectorAll(".panel")) {
      panel.hidden = panel.dataset.target !== choice;
      if (!panel.hidden) panel.querySelectorAll(".chart").forEach(draw);
    }
    for (const input of document.querySelectorAll(".picker input")) input.checked = input.value === choice;
  }

  for (const input of document.querySelectorAll(".picker input")) {
    input.addEventListener("change", () => show(input.value));
  }
  const chosen = () => document.querySelector(".picker input:checked")?.value ?? "0";
  show(chosen());
  for (const chart of document.querySelectorAll(".chart")) if (!chart.closest(".panel")) draw(chart);

  // --- links into a folded variant open it; paper shows all targets ------------------------------------------------------
  function openLinked() {
    const linked = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (linked?.tagName !== "DETAILS") return;
    linked.open = true;
    linked.scrollIntoView();
    hideTip();
  }
  addEventListener("hashchange", openLinked);
  openLinked();

  addEventListener("beforeprint", () => {
    for (const panel of document.querySelectorAll(".panel")) panel.hidden = false;
    document.querySelectorAll(".chart").forEach(draw);
  });
  addEventListener("afterprint", () => show(chosen()));
})();

#include "tests/eviction/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace gyrator {

namespace {

constexpr double kWidth = 760, kHeight = 400, kLeft = 56, kRight = 200, kTop = 34, kBottom = 46;

struct Range {
  double low = 0, high = 1;
  double Share(double value) const { return (value - low) / (high - low); }
};

double XAt(double share) { return kLeft + (kWidth - kLeft - kRight) * share; }
double YAt(double share) { return kHeight - kBottom - (kHeight - kTop - kBottom) * share; }

std::string Label(double x, double y, const char* anchor, const std::string& text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     text);
}

std::string Stroke(const PlotLine& line) {
  return fmt::format("stroke=\"{}\" stroke-width=\"2\"{}", line.colour,
                     line.dashed ? " stroke-dasharray=\"5 4\"" : "");
}

std::string Segment(double x1, double x2, double y, const std::string& stroke) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y,
                     x2, y, stroke);
}

// Room above the highest point and below the lowest one.
Range YRange(const std::vector<PlotLine>& lines) {
  double low = lines[0].points[0].second, high = low;
  for (const PlotLine& line : lines) {
    for (const auto& [x, y] : line.points) low = std::min(low, y), high = std::max(high, y);
  }
  const double step = std::pow(10.0, std::floor(std::log10(high - low)));
  return {std::floor(low / step) * step, std::ceil(high / step) * step};
}

Range XRange(const std::vector<PlotLine>& lines) {
  Range range{0, 0};
  for (const PlotLine& line : lines) {
    if (line.points.size() > 1) range.high = std::max(range.high, line.points.back().first);
  }
  return range;
}

std::string DrawLine(const PlotLine& line, const Range& xs, const Range& ys) {
  if (line.points.size() == 1) {
    return Segment(XAt(0), XAt(1), YAt(ys.Share(line.points[0].second)), Stroke(line));
  }
  std::string text = "<polyline fill=\"none\" " + Stroke(line) + " points=\"";
  for (const auto& [x, y] : line.points) {
    text += fmt::format("{:.1f},{:.1f} ", XAt(xs.Share(x)), YAt(ys.Share(y)));
  }
  return text + "\"/>\n";
}

}  // namespace

std::string DrawPlot(const PlotText& text, const std::vector<PlotLine>& lines) {
  const Range xs = XRange(lines), ys = YRange(lines);
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0:.0f} {1:.0f}\" "
      "font-family=\"sans-serif\" font-size=\"11\">\n"
      "<rect width=\"{0:.0f}\" height=\"{1:.0f}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  for (int i = 0; i <= 4; ++i) {
    const double share = i / 4.0;
    svg += Segment(XAt(0), XAt(1), YAt(share), "stroke=\"#ddd\"");
    svg += Label(kLeft - 6, YAt(share) + 4, "end",
                 fmt::format("{:.2f}", ys.low + (ys.high - ys.low) * share));
    svg +=
        Label(XAt(share), kHeight - kBottom + 16, "middle", fmt::format("{:.0f}", xs.high * share));
  }
  svg += Label(kLeft, kTop - 14, "start", text.title + "; " + text.y);
  svg += Label(XAt(0.5), kHeight - 8, "middle", text.x);
  double y = kTop + 8;
  for (const PlotLine& line : lines) {
    svg += DrawLine(line, xs, ys);
    svg += Segment(kWidth - kRight + 14, kWidth - kRight + 42, y - 4, Stroke(line));
    svg += Label(kWidth - kRight + 48, y, "start", line.name);
    y += 18;
  }
  return svg + "</svg>\n";
}

}  // namespace gyrator

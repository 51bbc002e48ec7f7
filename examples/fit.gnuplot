# fit.gnuplot: size against speed, of what `hearth fit` forecasts. gnuplot 5; the picture is SVG.
#
#     hearth fit --catalogue --csv >fit.csv && gnuplot -c examples/fit.gnuplot fit.csv fit.svg
set datafile separator ','
set terminal svg size 960,600 noenhanced background rgb 'white'
set output ARG2
set title 'what fits here: weights and the time of a token, with how far it may be off'
set xlabel 'weights, GB'
set ylabel 'ms a token'
set logscale xy
set autoscale fix
set offsets graph 0.08, graph 0.18, graph 0.1, graph 0.25
set key top left
set grid
# Columns as the first line names them. What does not fit or does not run has no place in the picture.
gb(good) = strcol('verdict') eq good ? column('weights_bytes') / 1e9 : NaN
ms(name) = 1e3 / column(name)
plot ARG1 using (gb('good')):(ms('tok_s')):(ms('tok_s_high')):(ms('tok_s_low')) with yerrorbars pt 7 lc rgb '#2060c0' \
         title 'fast enough', \
     ARG1 using (gb('slow')):(ms('tok_s')):(ms('tok_s_high')):(ms('tok_s_low')) with yerrorbars pt 7 lc rgb '#c06020' \
         title 'too slow', \
     ARG1 using (gb('good')):(ms('tok_s')):(strcol('name')) with labels font ',8' rotate by -40 left offset 0.5,-0.5 notitle, \
     ARG1 using (gb('slow')):(ms('tok_s')):(strcol('name')) with labels font ',8' rotate by -40 left offset 0.5,-0.5 notitle

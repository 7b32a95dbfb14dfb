"""Put one fault at a time into a copy of the course, and see that a test notices.

    python -m tools.mutants              every fault below, then a table
    python -m tools.mutants gan cgan     those whose name or file has these words
    python -m tools.mutants --tree DIR --python DIR/.venv/bin/python --tests IDS.json

A fault replaces one passage of one file, which must stand there exactly once. Its tests
then run in the copy: where one fails the fault is *caught*, else it *survived*, and the
tests prove less than their names say. Tests that fail in the copy without any fault
prove nothing: their faults are errors, as is a passage that is gone. Each result is
written as it is known, to build/mutants.json, and is not asked for again.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
MINUTES = 10  # that the tests of one fault may take


class Mutant(NamedTuple):
    """A fault: `old` becomes `new` in `file`, and one of `tests` should fail.

    tests: node ids, several with spaces between; `test_gan::test_x` is short for
    tests/test_gan.py::test_x.
    """

    name: str
    file: str
    old: str
    new: str
    tests: str

    def ids(self):
        return [short_id(test) for test in self.tests.split()]


def short_id(test):
    file, *rest = test.split("::", 1)
    return "::".join([f"tests/{file}.py", *rest])


MUTANTS = [
    # --- losses ---------------------------------------------------------------------
    Mutant(
        "autoencoder: the loss has the wrong sign",
        "gencourse/autoencoder.py",
        "return pixels.sum(axis=(1, 2, 3))  # (B,)",
        "return -pixels.sum(axis=(1, 2, 3))  # (B,)",
        "test_autoencoder::test_the_loss_in_closed_form",
    ),
    Mutant(
        "autoencoder: the loss is a mean over pixels",
        "gencourse/autoencoder.py",
        "return pixels.sum(axis=(1, 2, 3))  # (B,)",
        "return pixels.mean(axis=(1, 2, 3))  # (B,)",
        "test_autoencoder::test_the_loss_sums_over_pixels_and_keeps_images_apart",
    ),
    Mutant(
        "autoencoder: interpolation runs backwards",
        "gencourse/autoencoder.py",
        "(1 - t) * a[None] + t * b[None]",
        "(1 - t) * b[None] + t * a[None]",
        "test_autoencoder::test_shapes_all_the_way",
    ),
    Mutant(
        "inference: the last rows that fill no chunk are dropped",
        "gencourse/inference.py",
        "for i in range(0, many, size):",
        "for i in range(0, max(1, many - size + 1), size):",
        "test_autoencoder::test_chunks_change_nothing",
    ),
    Mutant(
        "vae: the KL has a wrong sign",
        "gencourse/vae.py",
        "0.5 * (mean**2 + jnp.exp(log_var) - 1 - log_var)",
        "0.5 * (mean**2 + jnp.exp(log_var) - 1 + log_var)",
        "test_vae::test_the_kl_is_the_integral_that_it_stands_for",
    ),
    Mutant(
        "vae: the KL is a mean over latents",
        "gencourse/vae.py",
        "return kl_per_latent(mean, log_var).sum(axis=1)",
        "return kl_per_latent(mean, log_var).mean(axis=1)",
        "test_vae::test_the_kl_is_summed_over_latents_and_keeps_images_apart",
    ),
    Mutant(
        "vae: codes are drawn with the variance for the deviation",
        "gencourse/vae.py",
        "mean + jnp.exp(log_var / 2) * noise",
        "mean + jnp.exp(log_var) * noise",
        "test_vae::"
        "test_codes_have_the_asked_mean_and_deviation_and_chance_of_their_own",
    ),
    Mutant(
        "vae: codes are their means",
        "gencourse/vae.py",
        "mean + jnp.exp(log_var / 2) * noise",
        "mean + 0 * noise",
        "test_vae::"
        "test_codes_have_the_asked_mean_and_deviation_and_chance_of_their_own",
    ),
    Mutant(
        "vae: all pictures share one noise",
        "gencourse/vae.py",
        "jax.random.normal(key, mean.shape, mean.dtype)",
        "jax.random.normal(key, mean.shape[1:], mean.dtype)[None]",
        "test_vae::"
        "test_codes_have_the_asked_mean_and_deviation_and_chance_of_their_own",
    ),
    Mutant(
        "vae: mean and log-variance change places",
        "gencourse/vae.py",
        "mean, log_var = jnp.split(self.encoder(x), 2, axis=1)",
        "log_var, mean = jnp.split(self.encoder(x), 2, axis=1)",
        "test_vae::test_the_elbo_is_a_bound_and_its_gap_is_the_posterior_s_error",
    ),
    Mutant(
        "vae: beta is ignored",
        "gencourse/vae.py",
        "return reconstruction + beta * kl, (reconstruction, kl)",
        "return reconstruction + kl, (reconstruction, kl)",
        "test_vae::test_beta_weighs_the_kl_alone_and_compiles_nothing_anew",
    ),
    Mutant(
        "vae: the prior's log-density has the wrong sign",
        "gencourse/vae.py",
        "prior = -0.5 * (z**2).sum(axis=1)",
        "prior = 0.5 * (z**2).sum(axis=1)",
        "test_vae::test_log_weight_is_prior_and_likelihood_over_posterior",
    ),
    Mutant(
        "vae: pixels are cut at one half instead of drawn",
        "gencourse/vae.py",
        "return jax.random.bernoulli(key, x).astype(x.dtype)",
        "return (x > 0.5).astype(x.dtype)",
        "test_vae::test_binarised_pixels_keep_their_mean",
    ),
    Mutant(
        "vae: the encoder looks in training mode",
        "gencourse/vae.py",
        "map_batches(_encode, eval_view(model).encoder, x, size=ROWS)",
        "map_batches(_encode, model.encoder, x, size=ROWS)",
        "test_vae::test_batchnorm_learns_in_training_and_keeps_still_elsewhere",
    ),
    Mutant(
        "gan: D's loss on real ones has the wrong sign",
        "gencourse/gan.py",
        "return nnx.softplus(-real).mean(), nnx.softplus(fake).mean()",
        "return nnx.softplus(real).mean(), nnx.softplus(fake).mean()",
        "test_gan::test_each_loss_is_what_it_says_of_probabilities",
    ),
    Mutant(
        "gan: G's loss has the wrong sign",
        "gencourse/gan.py",
        "return nnx.softplus(-fake).mean()\n",
        "return nnx.softplus(fake).mean()\n",
        "test_gan::test_each_loss_is_what_it_says_of_probabilities",
    ),
    Mutant(
        "gan: the min-max loss has the wrong sign",
        "gencourse/gan.py",
        "return -nnx.softplus(fake).mean()\n",
        "return nnx.softplus(fake).mean()\n",
        "test_gan::test_each_loss_is_what_it_says_of_probabilities",
    ),
    # --- the game -------------------------------------------------------------------
    Mutant(
        "gan: D's step moves G",
        "gencourse/gan.py",
        "    d_optimizer.update(discriminator, d_grads)\n",
        "    d_optimizer.update(discriminator, d_grads)\n"
        "    weights = nnx.state(generator, nnx.Param)\n"
        "    nnx.update(generator, jax.tree.map(lambda a: 0.99 * a, weights))\n",
        "test_games::test_neither_step_moves_the_other_s_weights[normed]",
    ),
    Mutant(
        "gan: G's step moves D",
        "gencourse/gan.py",
        "    g_optimizer.update(generator, g_grads)\n",
        "    g_optimizer.update(generator, g_grads)\n"
        "    weights = nnx.state(discriminator, nnx.Param)\n"
        "    nnx.update(discriminator, jax.tree.map(lambda a: 0.99 * a, weights))\n",
        "test_games::test_neither_step_moves_the_other_s_weights[normed]",
    ),
    Mutant(
        "gan: G's fakes for D move G's BatchNorm",
        "gencourse/gan.py",
        "fake = nnx.clone(generator)(z)",
        "fake = generator(z)",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[normed]",
    ),
    Mutant(
        "gan: G's step moves D's BatchNorm",
        "gencourse/gan.py",
        "g_grad(generator, nnx.clone(discriminator))",
        "g_grad(generator, discriminator)",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[normed]",
    ),
    Mutant(
        "gan: G learns from the D of before D's step",
        "gencourse/gan.py",
        """    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, discriminator):
        return g_loss(discriminator(generator(z), keys[2]))
""",
        """    before = nnx.clone(discriminator)
    d_optimizer.update(discriminator, d_grads)

    def g_loss_fn(generator, _):
        return g_loss(before(generator(z), keys[2]))
""",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[normed]",
    ),
    Mutant(
        "gan: every step has the same z",
        "gencourse/gan.py",
        "z = sample_latent(generator, len(batch), z_key)",
        "z = sample_latent(generator, len(batch), jax.random.key(0))",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[normed]",
    ),
    Mutant(
        "gan: G's z are not from its own distribution",
        "gencourse/gan.py",
        "generator.prior(key, (n, generator.latent))",
        "jax.random.normal(key, (n, generator.latent))",
        "test_gan::test_latents_come_from_g_s_prior",
    ),
    Mutant(
        "gan: D's passes on real and fake share a dropout mask",
        "gencourse/gan.py",
        "on_fake = discriminator(fake, keys[1])",
        "on_fake = discriminator(fake, keys[0])",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[normed]",
    ),
    Mutant(
        "gan: D's layers share one dropout key",
        "gencourse/gan.py",
        "x = self.dropout(x, rngs=rngs)",
        "x = self.dropout(x, rngs=key)",
        "test_gan::test_d_s_own_dropout_works_where_a_key_is_given_and_nowhere_else",
    ),
    Mutant(
        "gan: dropout is off in training",
        "gencourse/gan.py",
        "x = self.dropout(x, rngs=rngs)",
        "x = self.dropout(x, rngs=None)",
        "test_gan::test_d_s_own_dropout_works_where_a_key_is_given_and_nowhere_else",
    ),
    Mutant(
        "gan: dropout is on without a key",
        "gencourse/gan.py",
        "rngs = dropout_rngs(key)",
        "rngs = dropout_rngs(jax.random.key(0) if key is None else key)",
        "test_gan::test_d_s_own_dropout_works_where_a_key_is_given_and_nowhere_else",
    ),
    Mutant(
        "gan: the gradients' norms are exchanged",
        "gencourse/gan.py",
        "losses, logits, gradients\n",
        "losses, logits, gradients\n    d_grads, g_grads = g_grads, d_grads\n",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[normed]",
    ),
    Mutant(
        "gan: the averaged weights do not move",
        "gencourse/train/ema.py",
        "return old + (1 - decay) * (new - old)",
        "return old",
        "test_games::test_an_average_is_a_running_mean_of_weights_and_statistics",
    ),
    Mutant(
        "gan: the average leaves BatchNorm's statistics behind",
        "gencourse/train/ema.py",
        "averaged = nnx.Param, nnx.BatchStat",
        "averaged = nnx.Param, nnx.Cache",
        "test_games::test_an_average_is_a_running_mean_of_weights_and_statistics",
    ),
    Mutant(
        "inference: BatchNorm in training mode",
        "gencourse/inference.py",
        "modes = dict(use_running_average=True, deterministic=True)",
        "modes = dict(use_running_average=False, deterministic=True)",
        "test_games::test_looking_uses_running_statistics_and_moves_nothing[normed]",
    ),
    Mutant(
        "inference: dropout stays on",
        "gencourse/inference.py",
        "modes = dict(use_running_average=True, deterministic=True)",
        "modes = dict(use_running_average=True)",
        "test_games::test_looking_uses_running_statistics_and_moves_nothing[normed]",
    ),
    Mutant(
        "dcgan: BatchNorm trains on its running statistics",
        "gencourse/layers/modules.py",
        'options = {"use_running_average": False,',
        'options = {"use_running_average": True,',
        "test_dcgan::test_equal_to_flax_s_own_layers_written_out",
    ),
    Mutant(
        "dcgan: pictures in [0, 1] instead of [-1, 1]",
        "gencourse/dcgan.py",
        "return jnp.tanh(self.to_image(x))",
        "return nnx.sigmoid(self.to_image(x))",
        "test_dcgan::test_without_dropout_g_s_pictures_fill_the_range_of_tanh",
    ),
    Mutant(
        "dcgan: D's layers share one dropout key",
        "gencourse/dcgan.py",
        "x = self.dropout(x, rngs=rngs)",
        "x = self.dropout(x, rngs=key)",
        "test_dcgan::test_each_map_loses_something_by_a_chance_of_its_own",
    ),
    # --- pairs ----------------------------------------------------------------------
    Mutant(
        "pix2pix: L1 drives away",
        "gencourse/pix2pix.py",
        "return verdict + l1_weight * l1, (verdict, l1)",
        "return verdict - l1_weight * l1, (verdict, l1)",
        "test_pix2pix::test_a_step_is_the_papers",
    ),
    Mutant(
        "pix2pix: D does not see the source",
        "gencourse/pix2pix.py",
        "self.judge(jnp.concatenate([x, y], axis=-1))",
        "self.judge(jnp.concatenate([0 * x, y], axis=-1))",
        "test_pix2pix::test_the_discriminator_looks_at_both",
    ),
    Mutant(
        "pix2pix: the skips carry nothing",
        "gencourse/pix2pix.py",
        "jnp.concatenate([x, skip], axis=-1) if self.skips",
        "jnp.concatenate([x, 0 * skip], axis=-1) if self.skips",
        "test_pix2pix::test_a_u_net_carries_places_past_its_middle",
    ),
    Mutant(
        "pix2pix: D's loss is not halved",
        "gencourse/pix2pix.py",
        "return sum(d_loss(on_real, on_fake)) / 2, (on_real, on_fake)",
        "return sum(d_loss(on_real, on_fake)), (on_real, on_fake)",
        "test_pix2pix::test_a_step_is_the_papers",
    ),
    Mutant(
        "cyclegan: the cycle drives away",
        "gencourse/cyclegan.py",
        "loss = game + cycle_weight * cycle + identity_weight * identity",
        "loss = game - cycle_weight * cycle + identity_weight * identity",
        "test_cyclegan::test_a_step_is_the_papers",
    ),
    Mutant(
        "cyclegan: the identity asks for a of the wrong generator",
        "gencourse/cyclegan.py",
        "identity = _l1(generators.a(a), a), _l1(generators.b(b), b)",
        "identity = _l1(generators.b(a), a), _l1(generators.a(b), b)",
        "test_cyclegan::test_a_step_is_the_papers",
    ),
    Mutant(
        "cyclegan: Ds are shown the fakes of the other domain",
        "gencourse/cyclegan.py",
        "fake = discriminators.a(fake_a), discriminators.b(fake_b)",
        "fake = discriminators.a(fake_b), discriminators.b(fake_a)",
        "test_cyclegan::test_a_step_is_the_papers",
    ),
    Mutant(
        "cyclegan: G's step moves the D that it looks at",
        "gencourse/cyclegan.py",
        "(_, found), g_grads = g_grad(generators, nnx.clone(discriminators))",
        "(_, found), g_grads = g_grad(generators, nnx.clone(discriminators)); "
        "d_optimizer.update(discriminators, nnx.grad(lambda d: "
        "g_loss(d.a(found[0][0])))(discriminators))",
        "test_cyclegan::test_a_step_is_the_papers",
    ),
    Mutant(
        "cyclegan: the buffer gives an old fake and keeps it",
        "gencourse/cyclegan.py",
        "stays = jnp.where(is_full & ~swap, pictures[place], fake)",
        "stays = jnp.where(is_full, pictures[place], fake)",
        "test_cyclegan::test_a_full_buffer_exchanges_every_second_one",
    ),
    Mutant(
        "cyclegan: what is covered shines through, what is not is painted",
        "gencourse/cyclegan.py",
        "return x + cover * (paint - x)",
        "return paint + cover * (x - paint)",
        "test_cyclegan::test_a_generator_paints_over_its_input",
    ),
    Mutant(
        "counterfactual: the unit is the distance from what was drawn",
        "gencourse/metrics/counterfactual.py",
        "copied = float(np.abs(x - truth).mean())",
        "copied = float(np.abs(x - drawn).mean())",
        "test_counterfactual::test_a_share_of_copying_is_0_of_the_truth_and_1_of_the_input",
    ),
    Mutant(
        "sketch: it tells the colour of the clothes",
        "gencourse/data/faces.py",
        'codes = _numbers(factors | {"clothes_colour": "white"})',
        "codes = _numbers(factors)",
        "test_compose::test_a_sketch_shows_the_parts_and_not_the_colour_of_the_clothes",
    ),
    Mutant(
        "folders: the halves of a pair change places",
        "gencourse/data/folders.py",
        "edges = ((0, height), (height, width))",
        "edges = ((height, width), (0, height))",
        "test_folders::test_a_pair_side_by_side_is_cut_in_the_middle",
    ),
    Mutant(
        "colours of parts: the mean in place of the median",
        "gencourse/metrics/counterfactual.py",
        "np.median(p if len(p) else nothing, axis=0)",
        "np.mean(p if len(p) else nothing, axis=0)",
        "test_counterfactual::"
        "test_it_is_the_difference_of_the_median_colours_over_the_parts_own_pixels",
    ),
    # --- the label ------------------------------------------------------------------
    Mutant(
        "cgan: dense G does not hear the label",
        "gencourse/cgan.py",
        "x = concat_condition(z, self.embed_labels(y))",
        "x = concat_condition(z, 0 * self.embed_labels(y))",
        "test_cgan::test_the_dense_networks_by_hand",
    ),
    Mutant(
        "cgan: dense D does not hear the label",
        "gencourse/cgan.py",
        "x = concat_condition(x, self.embed_labels(y))",
        "x = concat_condition(x, 0 * self.embed_labels(y))",
        "test_cgan::test_the_dense_networks_by_hand",
    ),
    Mutant(
        "cgan: a convolutional layer of G does not hear the label",
        "gencourse/cgan_conv.py",
        "x = LEAKY(norm(up(concat_condition(x, y))))",
        "x = LEAKY(norm(up(concat_condition(x, 0 * y))))",
        "test_cgan::test_the_label_enters_every_layer_of_the_convolutional_ones",
    ),
    Mutant(
        "cgan: D does not hear the label at its verdict",
        "gencourse/cgan_conv.py",
        "return self.logit(concat_condition(x, y))[:, 0]",
        "return self.logit(concat_condition(x, 0 * y))[:, 0]",
        "test_cgan::test_the_label_enters_every_layer_of_the_convolutional_ones",
    ),
    Mutant(
        "cgan: a wrong label may be the right one",
        "gencourse/conditions.py",
        "jax.random.randint(key, y.shape, 1, classes)",
        "jax.random.randint(key, y.shape, 0, classes)",
        "test_cgan::test_wrong_labels_are_all_wrong_and_each_other_one_is_as_likely",
    ),
    Mutant(
        "cgan: every label of several is exchanged",
        "gencourse/conditions.py",
        "parts[i] = jnp.where(which == i, other, parts[i])",
        "parts[i] = other",
        "test_cgan::test_one_of_several_labels_is_exchanged",
    ),
    Mutant(
        "cgan: the projection forgets the label",
        "gencourse/cgan_conv.py",
        "by_label = self.weigh(self.embed_labels(y))",
        "by_label = self.weigh(0 * self.embed_labels(y))",
        "test_cgan::test_the_label_chooses_the_weights_of_a_projection",
    ),
    Mutant(
        "cgan: the weights of fakes and of wrong labels are exchanged",
        "gencourse/cgan.py",
        "(1 - mismatch_weight) * fake_term + mismatch_weight * wrong_term",
        "mismatch_weight * fake_term + (1 - mismatch_weight) * wrong_term",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[cgan_conv]",
    ),
    Mutant(
        "cgan: D sees the fakes under other labels",
        "gencourse/cgan.py",
        "on_fake = discriminator(fake, y, keys[1])",
        "on_fake = discriminator(fake, y[::-1], keys[1])",
        "test_games::test_a_step_is_d_s_by_hand_and_then_g_s[cgan_dense]",
    ),
    Mutant(
        "cgan: every step has the same z",
        "gencourse/cgan.py",
        "z = sample_latent(generator, len(x), z_key)",
        "z = sample_latent(generator, len(x), jax.random.key(0))",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[cgan_dense]",
    ),
    Mutant(
        "cgan: D's first dense layer drops units too",
        "gencourse/cgan.py",
        "x = self.dropout(x, rngs=rngs) if i else x",
        "x = self.dropout(x, rngs=rngs)",
        "test_cgan::test_the_first_dense_layer_loses_nothing",
    ),
    Mutant(
        "cgan: convolutional D's layers share one dropout key",
        "gencourse/cgan_conv.py",
        "x = self.dropout(x, rngs=rngs)",
        "x = self.dropout(x, rngs=key)",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[cgan_conv]",
    ),
    Mutant(
        "maxout: a unit is the mean of its pieces",
        "gencourse/cgan_maxout.py",
        "return x.max(axis=-1)  # (B, out)",
        "return x.mean(axis=-1)  # (B, out)",
        "test_maxout::test_a_maxout_unit_is_the_greatest_of_its_pieces",
    ),
    Mutant(
        "maxout: G makes D's fakes without dropout",
        "gencourse/cgan.py",
        "fake = nnx.clone(generator)(z, y, g_key)",
        "fake = nnx.clone(generator)(z, y)",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[maxout]",
    ),
    Mutant(
        "maxout: every step has the same z",
        "gencourse/cgan.py",
        "z = sample_latent(generator, len(x), z_key)",
        "z = sample_latent(generator, len(x), jax.random.key(0))",
        "test_games::test_all_that_a_step_draws_has_a_key_of_its_own[maxout]",
    ),
    Mutant(
        "maxout: the momentum falls",
        "gencourse/cgan_maxout.py",
        "optax.linear_schedule(0.5, 0.7, steps)",
        "optax.linear_schedule(0.7, 0.5, steps)",
        "test_maxout::test_the_optimizer_moves_by_the_paper_s_rule",
    ),
    # --- what may be given ----------------------------------------------------------
    Mutant(
        "checks of data: [0, 1] passes for [-1, 1]",
        "gencourse/validation.py",
        "(low < -1 or high > 1 or (expect_negative and low >= 0))",
        "(low < -1 or high > 1)",
        "test_gan::test_bad_pictures_are_refused",
    ),
    Mutant(
        "checks of data: label 10 of 10 classes passes",
        "gencourse/validation.py",
        "if y.min() < 0 or y.max() >= limit:",
        "if y.min() < 0 or y.max() > limit:",
        "test_cgan::test_bad_labels_are_refused_everywhere",
    ),
    # --- data -----------------------------------------------------------------------
    Mutant(
        "data: tanh's range is scaled to [0, 1]",
        "gencourse/data/scaling.py",
        "_read_only(images.astype(np.float32) / (255 / (high - low)) + low)",
        "_read_only(images.astype(np.float32) / 255)",
        "test_data::test_scale_and_back",
    ),
    Mutant(
        "data: unscale cuts off instead of rounding",
        "gencourse/data/scaling.py",
        "np.rint((images - low) * (255 / (high - low)))",
        "np.floor((images - low) * (255 / (high - low)))",
        "test_data::test_scale_and_back",
    ),
    Mutant(
        "data: the padding stands on one side",
        "gencourse/data/scaling.py",
        "((size - n) // 2, (size - n + 1) // 2)",
        "(0, size - n)",
        "test_data::test_pad_puts_black_on_all_sides",
    ),
    Mutant(
        "data: two classes have each other's name",
        "gencourse/data/registry.py",
        '"Trouser", "Pullover"',
        '"Pullover", "Trouser"',
        "test_data::test_classes_are_named_as_in_tfds",
    ),
    Mutant(
        "data: the test set is the training set",
        "gencourse/data/loading.py",
        '_embedded(name, f"{split}_images", f"{split}_labels")',
        '_embedded(name, "train_images", "train_labels")',
        "test_data::test_embedded_sets_hold_the_chosen_pictures",
    ),
    Mutant(
        "data: TensorFlow Datasets is imported at once",
        "gencourse/data/loading.py",
        "import zipfile\n",
        "import zipfile\n\nimport tensorflow_datasets  # noqa: F401\n",
        "test_imports",
    ),
    # --- metrics --------------------------------------------------------------------
    Mutant(
        "likelihood: the sum of the weights, not their mean",
        "gencourse/metrics/likelihood.py",
        "results.append(total - np.log(samples))",
        "results.append(total)",
        "test_likelihood::test_with_the_true_posterior_one_sample_is_exact "
        "test_likelihood::"
        "test_with_a_wrong_posterior_the_bound_rises_to_the_truth_and_not_above",
    ),
    Mutant(
        "Frechet: no root of the covariances' product",
        "gencourse/metrics/samples.py",
        "vectors * np.sqrt(np.maximum(values, 0))",
        "vectors * np.maximum(values, 0)",
        "test_metrics::test_frechet_of_gaussians_along_the_axes",
    ),
    Mutant(
        "Frechet: the shared term counts once",
        "gencourse/metrics/samples.py",
        "distance - 2 * shared",
        "distance - shared",
        "test_metrics::test_frechet_of_gaussians_along_the_axes",
    ),
    Mutant(
        "coverage: one stray label counts",
        "gencourse/metrics/samples.py",
        "(counts >= at_least * even - 1e-9 * even)",
        "(counts > 0)",
        "test_metrics::test_coverage_at_the_edge_of_its_rule",
    ),
    Mutant(
        "precision and recall: exchanged",
        "gencourse/metrics/neighbours.py",
        "_share_inside(fake, real, k), _share_inside(real, fake, k)",
        "_share_inside(real, fake, k), _share_inside(fake, real, k)",
        "test_metrics::test_precision_and_recall_of_known_clouds",
    ),
    Mutant(
        "precision and recall: each point is its own neighbour",
        "gencourse/metrics/neighbours.py",
        "] = np.inf  # itself",
        "] = 0  # itself",
        "test_metrics::test_precision_and_recall_against_all_distances",
    ),
    Mutant(
        "Parzen: the sum over samples, not their mean",
        "gencourse/metrics/parzen.py",
        "return result - np.log(m) - 0.5",
        "return result - 0.5",
        "test_parzen::test_against_the_sum_written_out",
    ),
    Mutant(
        "Parzen: the deviation for the variance",
        "gencourse/metrics/parzen.py",
        "np.log(2 * np.pi * widths**2)",
        "np.log(2 * np.pi * widths)",
        "test_parzen::test_one_sample_is_one_gaussian",
    ),
    Mutant(
        "judge: it looks at [-1, 1] where it learned [0, 1]",
        "gencourse/metrics/judges.py",
        "map_batches(f, judge, images, size=64)",
        "map_batches(f, judge, 2 * images - 1, size=64)",
        "test_metrics::test_the_judge_knows_real_pictures",
    ),
    # --- training -------------------------------------------------------------------
    Mutant(
        "fit: rows are not shuffled",
        "gencourse/train/loop.py",
        "return jax.random.permutation(jax.random.fold_in(key, epoch), n)",
        "return jax.numpy.arange(n)",
        "test_train::"
        "test_every_row_once_an_epoch_in_a_new_order_and_a_new_key_each_step",
    ),
    Mutant(
        "fit: every epoch has the same order",
        "gencourse/train/loop.py",
        "jax.random.permutation(jax.random.fold_in(key, epoch), n)",
        "jax.random.permutation(key, n)",
        "test_train::"
        "test_every_row_once_an_epoch_in_a_new_order_and_a_new_key_each_step",
    ),
    Mutant(
        "fit: every step has the same key",
        "gencourse/train/compile_step.py",
        "key = jax.random.fold_in(key, count)",
        "key = jax.random.fold_in(key, 0)",
        "test_train::"
        "test_every_row_once_an_epoch_in_a_new_order_and_a_new_key_each_step",
    ),
    Mutant(
        "fit: the last, short batch is kept",
        "gencourse/train/validate.py",
        "per_epoch = n // batch_size",
        "per_epoch = -(-n // batch_size)",
        "test_train::test_it_learns",
    ),
    Mutant(
        "fit: NaN is not noticed",
        "gencourse/train/history.py",
        "np.flatnonzero(~np.isfinite(v))",
        "np.flatnonzero(np.isinf(v))",
        "test_train::test_each_kind_of_number_that_is_not_finite_stops_it",
    ),
    Mutant(
        "fit: a state with NaN is saved",
        "gencourse/train/history.py",
        "            if np.isfinite(old).all():\n",
        "            if False:\n",
        "test_checkpoint::test_a_state_spoilt_by_its_last_update_is_not_saved",
    ),
    Mutant(
        "fit: a resumed run counts one step less",
        "gencourse/train/loop.py",
        "np.int32(done)",
        "np.int32(max(done - 1, 0))",
        "test_checkpoint::test_resumed_is_uninterrupted_bit_for_bit",
    ),
    Mutant(
        "checkpoint: the optimizer's state is forgotten",
        "gencourse/checkpoint/core.py",
        "x, old = x if kind else jnp.array(x), leaves[len(new)]\n",
        "x, old = x if kind else jnp.array(x), leaves[len(new)]\n"
        '            x = old if name.startswith("objects[1]") else x\n',
        "test_checkpoint::test_resumed_is_uninterrupted_bit_for_bit",
    ),
    Mutant(
        "checkpoint: the key is forgotten",
        "gencourse/checkpoint/core.py",
        'lines += [_line("key", "key", key)] if key is not None else []',
        "lines += []",
        "test_checkpoint::test_every_leaf_comes_back",
    ),
    Mutant(
        "checkpoint: the folder of another run is used",
        "gencourse/checkpoint/core.py",
        "if theirs is None or ours is None or theirs == ours:",
        "if True:",
        "test_checkpoint::test_the_folder_of_another_run_is_refused",
    ),
    Mutant(
        "checkpoint: no checksum is looked at",
        "gencourse/checkpoint/files.py",
        'problem = None if _file_sum(place / name) == wanted else "changed"',
        "problem = _file_sum(place / name) and None",
        "test_checkpoint::test_of_two_the_damaged_one_is_named_and_the_other_used",
    ),
    # --- layers ---------------------------------------------------------------------
    Mutant(
        "layers: the adjoint's kernel is not flipped",
        "gencourse/layers/convolution.py",
        "adjoint = jnp.flip(w, (0, 1)).swapaxes(2, 3)",
        "adjoint = w.swapaxes(2, 3)",
        "test_layers::test_a_transposed_convolution_is_the_adjoint_of_a_strided_one "
        "test_layers::test_uneven_kernels_and_strides "
        "test_convolution::test_every_way_of_computing_gives_the_same",
    ),
    Mutant(
        "layers: the weight gradient of one tap is shifted",
        "gencourse/layers/convolution.py",
        "x[:, i :: strides[0], j :: strides[1]][:, :h, :width]",
        "x[:, (i != 1) * i :: strides[0], j :: strides[1]][:, :h, :width]",
        "test_convolution::test_every_way_of_computing_gives_the_same",
    ),
    Mutant(
        "layers: a narrow convolution's gradient is mirrored",
        "gencourse/layers/convolution.py",
        "dy[:, :, kh - 1 - i :, kw - 1 - j :]",
        "dy[:, :, kh - 1 - i :, j :]",
        "test_convolution::test_every_way_of_computing_gives_the_same",
    ),
    Mutant(
        "layers: what dropout leaves is not scaled up",
        "gencourse/layers/modules.py",
        "jnp.where(kept, inputs * (256 / (256 - drop)), 0)",
        "jnp.where(kept, inputs, 0)",
        "test_layers::test_dropout_keeps_its_rate_and_the_mean",
    ),
    Mutant(
        "layers: dropout drops what it should keep",
        "gencourse/layers/modules.py",
        "reshape(inputs.shape) >= drop",
        "reshape(inputs.shape) < drop",
        "test_layers::test_dropout_keeps_its_rate_and_the_mean",
    ),
    # --- pictures -------------------------------------------------------------------
    Mutant(
        "plot: a grid is blank",
        "gencourse/plot/pictures.py",
        "sheet[row : row + h, column : column + w] = image",
        "sheet[row : row + h, column : column + w] = 1",
        "test_plot::test_a_picture_is_no_blank_and_says_what_it_shows "
        "test_plot::test_pixels_are_where_they_belong",
    ),
    Mutant(
        "plot: a GIF has one frame",
        "gencourse/plot/base.py",
        "append_images=stills[1:],\n"
        "        duration=[milliseconds] * (len(stills) - 1) + [10 * milliseconds],",
        "duration=milliseconds,",
        "test_plot::test_a_gif_moves_and_has_its_still",
    ),
    Mutant(
        "plot: a GIF runs backwards",
        "gencourse/plot/pictures.py",
        "for s in sheets]",
        "for s in sheets[::-1]]",
        "test_plot::test_a_gif_shows_its_frames_in_order",
    ),
    # --- exercises, notebooks, what is quoted ---------------------------------------
    Mutant(
        "exercises: a check accepts everything",
        "gencourse/checks/autoencoder.py",
        "logits = rng.normal(0, 3, (5, 8, 8, 1)).astype(np.float32)\n",
        "logits = rng.normal(0, 3, (5, 8, 8, 1)).astype(np.float32)\n"
        '    return passed("right")\n',
        "test_exercises::test_every_wrong_answer_gets_its_own_hint[autoencoder.loss]",
    ),
    Mutant(
        "exercises: a mistake gets another one's hint",
        "gencourse/checks/autoencoder.py",
        '"The sign is turned: a cost is positive, so minus the logarithms."',
        '"Only half of it: black pixels, x = 0, cost nothing here."',
        "test_exercises::test_every_wrong_answer_gets_its_own_hint[autoencoder.loss]",
    ),
    Mutant(
        "exercises: a solution has changed, its exercise has not",
        "solutions/01_autoencoder.ipynb",
        "Give the chapter's encoder pictures of **48 by 48** pixels",
        "Give the chapter's encoder pictures of **56 by 56** pixels",
        "test_exercises::test_exercises_are_fresh",
    ),
    Mutant(
        "notebooks: an assert about training always holds",
        "chapters/01_autoencoder.ipynb",
        "assert 0.1 < outside2 < outside6 and outside6 > 0.8,",
        "assert outside6 >= 0,",
        "test_notebooks::"
        "test_asserts_about_training_fail_without_training[chapters/01_autoencoder]",
    ),
    Mutant(
        "notebooks: a cell shows a blank picture",
        "chapters/01_autoencoder.ipynb",
        "images[shown],",
        "0 * images[shown],",
        "test_notebooks::"
        "test_a_notebook_runs_and_shows_what_it_showed[chapters/01_autoencoder]",
    ),
    Mutant(
        "results: a measured number has changed, its quotes have not",
        "results/results.json",
        '"mean": 0.2216228445370992,',
        '"mean": 0.3216228445370992,',
        "test_house::test_quoted_figures_are_those_measured",
    ),
    Mutant(
        "notebook: the smallest budget is the full one",
        "gencourse/notebook.py",
        'return {"smoke": smoke,',
        'return {"smoke": full,',
        "test_notebook::test_the_budget_follows_the_environment",
    ),
]


# --- a copy of the tree, and a Python that imports it ------------------------------


def copy(tree, place):
    """Copy what git knows of `tree`, and new files, to `place`, as a repository."""
    git = ["git", "-c", "safe.directory=*", "ls-files", "-zco", "--exclude-standard"]
    names = subprocess.run(git, cwd=tree, capture_output=True, text=True, check=True)
    for name in filter(None, names.stdout.split("\0")):
        if (tree / name).is_file():  # else deleted, and not yet committed
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree / name, place / name)
    subprocess.run(["git", "init", "-q", place], check=True)


def interpreter(python, tree, place):
    """Make a Python in `place` with the packages of `python`, and gencourse of `tree`.

    An editable install is a line in a .pth file, and those of the packages' folder are
    not read here: kernels and subprocesses too find the copy, and nothing else.
    """
    code = "import sysconfig; print(sysconfig.get_path('purelib'))"
    ask = [python, "-c", code]
    packages = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    command = [python, "-m", "venv", "--without-pip", place]
    subprocess.run(command, check=True)
    python = place / ("Scripts" if os.name == "nt" else "bin") / "python"
    ask = [python, "-c", code]
    own = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    Path(own.strip(), "tree.pth").write_text(f"{tree}\n{packages}")
    return python


KERNEL = """\
import nbformat, gencourse
from tools import notebooks
cell = nbformat.v4.new_code_cell("import gencourse; print(gencourse.__file__)")
nb = notebooks.execute(nbformat.v4.new_notebook(cells=[cell]), "chapters", "smoke")
print(gencourse.__file__, nb.cells[0].outputs[0].text)
"""


def check_imports(python, tree):
    """Raise where this Python, or a kernel of its own, imports another gencourse."""
    found = subprocess.run(
        [python, "-c", KERNEL], cwd=tree, capture_output=True, text=True, env=quiet()
    )
    wanted = str(tree / "gencourse" / "__init__.py")
    if found.stdout.split() != [wanted, wanted]:
        raise SystemExit(f"Another gencourse is imported: {found.stdout}{found.stderr}")


def quiet():
    """The environment of the tests: no bytecode, which could outlive its source."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}


# --- asking the tests --------------------------------------------------------------


def run(python, tree, ids, *options, minutes=MINUTES):
    """(pytest's exit status or "timeout", what it printed) of some tests."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, *ids]
    with subprocess.Popen(
        command,
        cwd=tree,
        env=quiet(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        try:
            said, _ = process.communicate(timeout=60 * minutes)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)  # its kernels too
            return "timeout", process.communicate()[0]
    return process.returncode, said


def failed(said):
    """The node ids that a run's summary names as failed."""
    return re.findall(r"^(?:FAILED|ERROR) (tests/\S+)", said, re.MULTILINE)


def within(node, test):
    """Whether a node id is that of `test`: of a file, a function, or one case of it."""
    return node == test or node.startswith((test + "::", test + "["))


def unsound(python, tree, mutants):
    """{test: why} of the tests that fail, or are not there, without any fault."""
    ids = sorted({test for mutant in mutants for test in mutant.ids()})
    files = sorted({f for i in ids if (tree / (f := i.partition("::")[0])).is_file()})
    _, said = run(python, tree, files, "--collect-only")
    nodes = said.splitlines()
    bad = {i: "is not there" for i in ids if not any(within(n, i) for n in nodes)}
    there = [test for test in ids if test not in bad]
    status, said = run(python, tree, there, minutes=6 * MINUTES) if there else (0, "")
    if status not in (0, 1):
        raise SystemExit(f"The tests do not run without a fault:\n{said[-3000:]}")
    for node in failed(said):
        bad |= {i: "fails without the fault" for i in there if within(node, i)}
    return bad


def ask(mutant, python, tree):
    """(result, by what) of one fault: "caught", "survived" or "error"."""
    path = tree / mutant.file
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    count = text.count(mutant.old)
    if count != 1:
        return "error", f"its passage stands {count} times in {mutant.file}"
    try:
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        status, said = run(python, tree, mutant.ids(), "-x")
    finally:
        path.write_text(text, encoding="utf-8")
    if status == 0:
        return "survived", ""
    if status != 1:
        return "error", f"pytest ended with {status}: {said[-300:]}"
    return "caught", failed(said)[0]


def table(results):
    for name, row in results.items():
        print(f"{row['result']:9} {row['seconds']:5.0f} s  {name}: {row['by']}")
    counts = [row["result"] for row in results.values()]
    kinds = ("caught", "survived", "error")
    print(", ".join(f"{counts.count(kind)} {kind}" for kind in kinds))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "words", nargs="*", help="of a fault's name or file; default all"
    )
    parser.add_argument("--tree", type=Path, default=ROOT, help="another checkout")
    parser.add_argument("--python", default=sys.executable, help="that checkout's")
    parser.add_argument("--tests", type=Path, help="its tests: JSON, {name: node ids}")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "mutants.json")
    args = parser.parse_args()
    chosen = [
        mutant
        for mutant in MUTANTS
        if not args.words or any(w in mutant.name + mutant.file for w in args.words)
    ]
    if args.tests:
        known = json.loads(args.tests.read_text(encoding="utf-8"))
        chosen = [m._replace(tests=known.get(m.name, m.tests)) for m in chosen]
    args.out.parent.mkdir(exist_ok=True)
    results = json.loads(args.out.read_text()) if args.out.exists() else {}
    asked = {m.name: [m.file, m.old, m.new, m.tests] for m in chosen}
    due = [m for m in chosen if results.get(m.name, {}).get("asked") != asked[m.name]]
    with tempfile.TemporaryDirectory() as place:
        tree = Path(place).resolve() / "tree"
        copy(args.tree.resolve(), tree)
        python = interpreter(args.python, tree, tree.parent / "python")
        check_imports(python, tree)
        bad = unsound(python, tree, due)
        for mutant in due:
            began = time.monotonic()
            wrong = [f"{test} {bad[test]}" for test in mutant.ids() if test in bad]
            result = ("error", wrong[0]) if wrong else ask(mutant, python, tree)
            row = dict(result=result[0], by=result[1], seconds=time.monotonic() - began)
            print(
                f"{row['result']:9} {row['seconds']:5.0f} s  {mutant.name}", flush=True
            )
            results[mutant.name] = row | {"asked": asked[mutant.name]}
            args.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    table({m.name: results[m.name] for m in chosen})
    return any(results[m.name]["result"] != "caught" for m in chosen)


if __name__ == "__main__":
    sys.exit(main())

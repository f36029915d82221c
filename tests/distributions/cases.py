"""What the tests of distributions make them of: each entry gives a distribution of a library t with
float64 parameters p(values), and values to look at."""

import numpy as np

RNG = np.random.default_rng(5)
SPD = np.array([[2.0, 0.5, 0.1], [0.5, 1.0, 0.2], [0.1, 0.2, 1.5]])
LOW = np.linalg.cholesky(SPD)
PROBS = [[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]]

# name -> (maker of the distribution, values or None for samples of PyTorch's)
CASES = {
    "Normal": lambda D, p: D.Normal(p([0.0, 1.5]), p([1.0, 0.3])),
    "LogNormal": lambda D, p: D.LogNormal(p([0.0, 0.5]), p([1.0, 0.3])),
    "HalfNormal": lambda D, p: D.HalfNormal(p([1.0, 0.3])),
    "Uniform": lambda D, p: D.Uniform(p([0.0, -2.0]), p([1.0, 3.0])),
    "Bernoulli": lambda D, p: D.Bernoulli(p([0.3, 0.9])),
    "Bernoulli-logits": lambda D, p: D.Bernoulli(logits=p([-1.0, 2.0])),
    "Categorical": lambda D, p: D.Categorical(p(PROBS)),
    "Categorical-logits": lambda D, p: D.Categorical(logits=p(PROBS)),
    "OneHotCategorical": lambda D, p: D.OneHotCategorical(p(PROBS)),
    "OneHotST": lambda D, p: D.OneHotCategoricalStraightThrough(p(PROBS)),
    "Binomial": lambda D, p: D.Binomial(10, p([0.3, 0.9])),
    "Binomial-logits": lambda D, p: D.Binomial(p([5.0, 40.0]), logits=p([-1.0, 0.4])),
    "Multinomial": lambda D, p: D.Multinomial(6, p(PROBS)),
    "Beta": lambda D, p: D.Beta(p([0.5, 2.0]), p([1.5, 3.0])),
    "Dirichlet": lambda D, p: D.Dirichlet(p([[0.5, 2.0, 1.0], [3.0, 1.0, 2.0]])),
    "Gamma": lambda D, p: D.Gamma(p([0.5, 3.0]), p([1.0, 2.0])),
    "Chi2": lambda D, p: D.Chi2(p([1.0, 5.0])),
    "Exponential": lambda D, p: D.Exponential(p([0.5, 3.0])),
    "Poisson": lambda D, p: D.Poisson(p([0.5, 25.0])),
    "Geometric": lambda D, p: D.Geometric(p([0.2, 0.7])),
    "Geometric-logits": lambda D, p: D.Geometric(logits=p([-1.0, 0.5])),
    "NegativeBinomial": lambda D, p: D.NegativeBinomial(p([3.0, 8.0]), p([0.3, 0.6])),
    "Laplace": lambda D, p: D.Laplace(p([0.0, 1.0]), p([1.0, 0.4])),
    "Cauchy": lambda D, p: D.Cauchy(p([0.0, 1.0]), p([1.0, 0.4])),
    "HalfCauchy": lambda D, p: D.HalfCauchy(p([1.0, 0.4])),
    "StudentT": lambda D, p: D.StudentT(p([1.5, 7.0]), p([0.0, 1.0]), p([1.0, 0.4])),
    "Gumbel": lambda D, p: D.Gumbel(p([0.0, 1.0]), p([1.0, 0.4])),
    "Weibull": lambda D, p: D.Weibull(p([1.0, 2.0]), p([0.8, 3.0])),
    "Pareto": lambda D, p: D.Pareto(p([1.0, 2.0]), p([3.5, 5.0])),
    "GeneralizedPareto": lambda D, p: D.GeneralizedPareto(
        p([0.0, 1.0, 0.0]), p([1.0, 2.0, 1.0]), p([0.2, -0.3, 0.0])
    ),
    "Kumaraswamy": lambda D, p: D.Kumaraswamy(p([1.5, 2.0]), p([2.5, 3.0])),
    "InverseGamma": lambda D, p: D.InverseGamma(p([3.0, 5.0]), p([1.0, 2.0])),
    "FisherSnedecor": lambda D, p: D.FisherSnedecor(p([3.0, 5.0]), p([5.0, 9.0])),
    "VonMises": lambda D, p: D.VonMises(p([0.0, 1.0]), p([0.5, 4.0])),
    "ContinuousBernoulli": lambda D, p: D.ContinuousBernoulli(p([0.2, 0.5, 0.9])),
    "RelaxedBernoulli": lambda D, p: D.RelaxedBernoulli(p([0.7]), p([0.3, 0.9])),
    "RelaxedOneHot": lambda D, p: D.RelaxedOneHotCategorical(p(0.7), p(PROBS)),
    "LogisticNormal": lambda D, p: D.LogisticNormal(p([0.0, 1.0]), p([1.0, 0.4])),
    "MVN": lambda D, p: D.MultivariateNormal(p([0.0, 1.0, 2.0]), p(SPD)),
    "MVN-precision": lambda D, p: D.MultivariateNormal(p([0.0, 1.0, 2.0]), precision_matrix=p(SPD)),
    "MVN-tril": lambda D, p: D.MultivariateNormal(
        p([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]]), scale_tril=p(LOW)
    ),
    "LowRankMVN": lambda D, p: D.LowRankMultivariateNormal(
        p([0.0, 1.0, 2.0]), p([[1.0], [0.5], [0.2]]), p([0.5, 0.4, 0.3])
    ),
    "Wishart": lambda D, p: D.Wishart(p(5.0), p(SPD)),
    "LKJCholesky": lambda D, p: D.LKJCholesky(3, p([0.8, 2.0])),
    "Independent": lambda D, p: D.Independent(D.Normal(p([0.0, 1.5]), p([1.0, 0.3])), 1),
    "Mixture": lambda D, p: D.MixtureSameFamily(
        D.Categorical(p([0.3, 0.7])), D.Normal(p([0.0, 3.0]), p([1.0, 0.5]))
    ),
    "MixtureMVN": lambda D, p: D.MixtureSameFamily(
        D.Categorical(p([0.3, 0.7])),
        D.Independent(D.Normal(p([[0.0, 1.0], [3.0, 2.0]]), p([[1.0, 1.0], [0.5, 2.0]])), 1),
    ),
    "Transformed": lambda D, p: D.TransformedDistribution(
        D.Normal(p([0.0, 1.0]), p([1.0, 0.5])), [D.SigmoidTransform(), D.AffineTransform(1.0, 3.0)]
    ),
}

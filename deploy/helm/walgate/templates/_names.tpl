{{/* The name of everything: the release's, with the chart's in it. */}}
{{- define "walgate.name" -}}
{{- $chart := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $chart .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $chart | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What pods are found by: never changes within a release. */}}
{{- define "walgate.selector" -}}
app.kubernetes.io/name: walgate
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "walgate.labels" -}}
{{ include "walgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "walgate.secret" -}}
{{- default (include "walgate.name" .) .Values.secret.existing -}}
{{- end -}}

{{- define "walgate.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "walgate.name" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}
